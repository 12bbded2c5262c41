"""The bytes of a `.tflite` file in, an edited file out: tensor names, buffers, metadata.

A TFLite file is a flatbuffer. It is read into objects, edited, and written again.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray


def read(content: bytes) -> Any:
    """Return the `ModelT` object of a file."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(content), 0))


def pack(model: Any) -> bytes:
    """Return the file of a `ModelT` object."""
    builder = _SharingBuilder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors once. Equal zero points of channels were 6 % of a small file."""

    def __init__(self) -> None:
        super().__init__(1024)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[np.generic]) -> int:  # noqa: N802, its base's name
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


def name_tensors(content: bytes) -> bytes:
    """Name the input `image`, the output `probabilities`, and other tensors by their layer.

    The ONNX files use the same names. The converter's own name of a tensor lists every operator
    that was fused into it, as "edge_1/conv2d_1/convolution;edge_1/…". Such names were 5 % of a
    small file.
    """
    model = read(content)
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        tensor.name = (b"/" + tensor.name.split(b";")[0]).split(b"/")[-2:][0] or tensor.name
    graph.tensors[graph.inputs[0]].name = b"image"
    graph.tensors[graph.outputs[0]].name = b"probabilities"
    return pack(model)


def with_metadata(content: bytes, name: bytes, data: bytes) -> bytes:
    """Return the file with one metadata entry more, without the converter's own and no waste."""
    model = read(content)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(data, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    # No runtime reads the converter's metadata about itself.
    others = [other for other in model.metadata if other.name != b"CONVERSION_METADATA"]
    model.metadata = [*others, entry]
    _drop_unused_buffers(model)
    return pack(model)


def _drop_unused_buffers(model: Any) -> None:
    """Let tensors without data share buffer 0, which is always empty, and drop unused buffers."""
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for tensor in tensors:
        if model.buffers[tensor.buffer].data is None:
            tensor.buffer = 0
    users = [*tensors, *model.metadata]
    used = sorted({0, *(user.buffer for user in users)})
    new_index = {old: new for new, old in enumerate(used)}
    model.buffers = [model.buffers[old] for old in used]
    for user in users:
        user.buffer = new_index[user.buffer]


def operator_name(code: Any) -> str:
    """Return the name of an `OperatorCodeT`, such as CONV_2D; a custom operator's is CUSTOM."""
    # Files from before there were 127 operators hold the code in a field of one byte.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)
