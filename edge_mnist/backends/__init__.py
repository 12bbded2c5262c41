"""A model's bytes in, a session of the chosen runtime out: LiteRT, TensorFlow Lite, ONNX Runtime.

Each runtime is imported only when it is used.
"""

from __future__ import annotations

import os

from .registry import RUNTIMES, Runtime, get, installed, load, load_inspectable, load_part
from .session import NotSupportedError, Part, Session, Tensor

__all__ = [
    "RUNTIMES",
    "NotSupportedError",
    "Part",
    "Runtime",
    "Session",
    "Tensor",
    "get",
    "installed",
    "load",
    "load_inspectable",
    "load_part",
]

# ONNX Runtime 1.29 and later reports usage and a device identifier to its makers, unless this is
# set before it is imported. Set it to 0 to allow that.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
