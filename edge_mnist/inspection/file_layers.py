"""A model file's bytes and format in; its layers, and parts of it, out: of either format."""

from __future__ import annotations

from collections.abc import Sequence

from ..bundle import Artifact
from ..errors import ModelError
from ..model_files.malformed import Malformed
from . import onnx_layers, tflite_layers
from .layer import Layer

Shapes = tflite_layers.Shapes


def read_layers(artifact: Artifact, content: bytes, shapes: Shapes | None = None) -> list[Layer]:
    """Return the layers of a model file.

    Args:
        artifact: the file.
        content: its bytes.
        shapes: shape and type of tensors, as `timing_worker` answers them.

    Raises:
        ModelError: the file cannot be read.
    """
    read = tflite_layers.layers if artifact.format == "tflite" else onnx_layers.layers
    try:
        return read(content, shapes)
    except (Malformed, ValueError, IndexError) as error:
        raise ModelError(
            f"Expected a model file whose layers can be read, got {artifact.name} with {error}; "
            f"export it again.",
            code="model-layers",
        ) from error


def parts(format: str, content: bytes, layers: Sequence[Layer]) -> list[bytes]:
    """Return a file of no layer, of the first, of the first two, and so on up to all of them."""
    cut = tflite_layers.part if format == "tflite" else onnx_layers.part
    nodes: list[int] = []
    files = [cut(content, nodes)]
    for layer in layers:
        nodes += layer.nodes
        files.append(cut(content, nodes))
    return files
