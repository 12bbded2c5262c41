"""Check an `.onnx` file that nobody vouches for, before ONNX Runtime loads it.

ONNX Runtime itself refuses broken files with an exception. These checks add two limits: external
data must lie in the file's own folder, and the weights must fit a small device. The field numbers
are those of onnx.proto: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from ..model_files.malformed import MOST_BYTES, Malformed, TooLarge
from ..model_files.protobuf import as_bytes, fields, integers, text

if TYPE_CHECKING:
    from ..bundle import File

# Bounds the time of these checks: each node takes about 10 µs.
_MOST_NODES = 20_000
_MOST_DIMENSIONS = 16
# Protobuf's own limit on messages within messages.
_MOST_DEPTH = 100
# The messages of onnx.proto that hold nodes or tensors: {message: {field: the message in it}}.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "subgraph", 10: "tensor", 11: "subgraph"}
    | {22: "sparse", 23: "sparse"},
    "subgraph": {1: "node", 5: "tensor", 15: "sparse"},
}
# A file with one of these is not known to be safe.
_UNCOMMON = ("training", "function", "subgraph")
# TensorProto.DataType: bits of an element, where they are not 64.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 9: 8, 10: 16, 12: 32, 15: 128, 16: 16}
_BITS |= {17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4}
# Attributes of a convolution or pooling, and the smallest value of each, in pixels. The upper
# bound keeps an output, which grows with `pads`, in proportion to its input.
_WINDOWS = {"kernel_shape": 1, "strides": 1, "dilations": 1, "pads": 0, "output_padding": 0}
_LARGEST_WINDOW = 256
# Operators whose output size follows from the shapes of their inputs.
_COMMON = frozenset(
    b"""
    Conv ConvInteger QLinearConv Gemm MatMul MatMulInteger QLinearMatMul QGemm
    MaxPool AveragePool GlobalAveragePool GlobalMaxPool QLinearAveragePool
    QLinearGlobalAveragePool Relu LeakyRelu PRelu Elu Selu Sigmoid HardSigmoid HardSwish Tanh
    Clip Softmax LogSoftmax QLinearSoftmax QLinearSigmoid QLinearLeakyRelu QLinearAdd QLinearMul
    Add Sub Mul Div Sqrt Pow Exp Log Neg Abs Erf Gelu BatchNormalization InstanceNormalization
    LayerNormalization LRN Dropout Identity Cast Flatten Reshape Transpose Squeeze Unsqueeze
    Concat Split Slice Gather Shape Constant ReduceMean ReduceSum ReduceMax ArgMax
    QuantizeLinear DequantizeLinear DynamicQuantizeLinear
    """.split()
)
_DOMAINS = (b"", b"ai.onnx", b"com.microsoft")


def check(content: bytes, file: File) -> bool:
    """Return whether a file is known to be safe: common operators in common use.

    Args:
        content: the file's bytes.
        file: where it lies; external data must lie in the same folder.

    Raises:
        Malformed: external data lies outside of the folder, or the file cannot be read for it.
        TooLarge: it has more weights or nodes than a small device runs.
    """
    # ONNX Runtime recognizes its own format, a flatbuffer, whatever the file's name.
    if content[4:8] == b"ORTM":
        raise Malformed("a model in ORT format")
    try:
        return _check(memoryview(content), file)
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed(f"a broken protocol buffer ({error})") from error


def _check(model: memoryview, file: File) -> bool:
    known_safe, nodes, size = True, 0, 0
    for kind, message in _walk("model", model):
        if kind == "node":
            nodes += 1
            known_safe &= _is_common(message)
        elif kind == "attribute":
            known_safe &= _is_usual(message)
        elif kind == "tensor":
            stated = _check_tensor(message, file)
            # ONNX Runtime 1.32 reads a zero point of no elements all the same, and crashes.
            known_safe &= stated > 0
            size += stated
        elif kind == "sparse":
            # 200 bytes of it unpack to any size.
            raise Malformed("sparse weights")
        elif kind in _UNCOMMON:
            known_safe = False
        if nodes > _MOST_NODES:
            raise TooLarge(f"more than {_MOST_NODES} nodes")
        if size > MOST_BYTES:
            raise TooLarge(f"weights of more than {MOST_BYTES >> 20} MB in all")
    return known_safe


def _walk(kind: str, message: memoryview, depth: int = 0) -> Iterator[tuple[str, memoryview]]:
    """Yield a message and all messages in it, each with its kind."""
    if depth > _MOST_DEPTH:
        raise Malformed(f"messages more than {_MOST_DEPTH} deep")
    yield kind, message
    if kind in _INSIDE:
        for number, value in fields(message):
            if inside := _INSIDE[kind].get(number):
                yield from _walk(inside, as_bytes(value), depth + 1)


def _is_common(node: memoryview) -> bool:
    """Return whether operator and domain are common ones."""
    names = {4: b"", 7: b""}
    names |= {n: bytes(as_bytes(value)) for n, value in fields(node) if n in names}
    return names[4] in _COMMON and names[7] in _DOMAINS


def _is_usual(attribute: memoryview) -> bool:
    """Return whether an attribute is no window, or one of usual size."""
    least = _WINDOWS.get(text(attribute, 1))
    if least is None:
        return True
    sizes = (size for n, value in fields(attribute) if n == 8 for size in integers(value))
    few = list(islice(sizes, _MOST_DIMENSIONS + 1))
    usual = all(least <= size <= _LARGEST_WINDOW for size in few)
    return usual and len(few) <= _MOST_DIMENSIONS


def _check_tensor(tensor: memoryview, file: File) -> int:
    """Return the size in bytes that a tensor's shape states; check where its data lies."""
    shape: list[int] = []
    bits, external = 64, []
    for number, value in fields(tensor):
        if number == 1:
            shape += (max(0, size) for size in islice(integers(value), _MOST_DIMENSIONS + 1))
        elif number == 2 and isinstance(value, int):
            bits = _BITS.get(value, 64)
        elif number == 13:
            external.append(as_bytes(value))
        if len(shape) > _MOST_DIMENSIONS:
            raise Malformed(f"a tensor of more than {_MOST_DIMENSIONS} dimensions")
    locations = [text(entry, 2) for entry in external if text(entry, 1) == "location"]
    if external and not locations:
        raise Malformed("external data without a location")
    for location in locations:
        _check_location(location, file)
    return math.prod(shape) * bits // 8


def _check_location(location: str, model: File) -> None:
    """Refuse external data outside of the model's folder, whichever system wrote the path."""
    # Imported late: few files have external data.
    from pathlib import Path, PureWindowsPath

    folder = Path(model).resolve().parent
    parts = PureWindowsPath(location).parts
    # ONNX Runtime takes a location of this name for an address in memory.
    in_memory = "_ORT_MEM_ADDR_" in location
    outside = f"weights outside of its folder, at {location[:80]!r}"
    if not parts or PureWindowsPath(location).anchor or ".." in parts or in_memory:
        raise Malformed(outside)
    try:
        file = (folder / location).resolve()
        found = file.is_file()
    except (OSError, ValueError) as error:  # ValueError: a byte of 0
        raise Malformed(f"weights at {location[:80]!r}, which cannot be opened") from error
    if not file.is_relative_to(folder):
        raise Malformed(outside)
    if not found:
        raise Malformed(f"weights in {location[:80]!r}, which is not beside it")
