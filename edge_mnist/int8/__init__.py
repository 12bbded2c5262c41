"""A full int8 `.tflite` file in; its operators in one written arithmetic, and their values, out.

docs/explanation/arithmetic.md states the arithmetic in words.
"""

from .graph import (
    Add,
    Convolution,
    DepthwiseConvolution,
    Graph,
    Mean,
    Multiply,
    Operator,
    Pad,
    Pool,
    Softmax,
    Table,
    Value,
    Window,
)
from .reader import Unsupported, read_graph

__all__ = [
    "Add",
    "Convolution",
    "DepthwiseConvolution",
    "Graph",
    "Mean",
    "Multiply",
    "Operator",
    "Pad",
    "Pool",
    "Softmax",
    "Table",
    "Unsupported",
    "Value",
    "Window",
    "read_graph",
]
