"""Look through an `.onnx` file that no manifest vouches for, before ONNX Runtime does.

The field numbers are those of onnx.proto. ONNX Runtime checks much of this itself; what it does
not is where weights beside the file lie, and how much memory a file may ask for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..backends.onnx_file import _bytes, _fields
from .malformed import MOST_BYTES, Malformed, TooLarge

_MOST_NODES = 20_000
_MOST_DIMENSIONS = 16
# A branch in a loop in a function is deep already.
_MOST_DEPTH = 8
# TensorProto.DataType: the bits of an element. A string, 8, has no fixed ones.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64}
_BITS |= {14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4}
_STRING = 8
# Where a tensor's values stand that are not raw, and the bytes of one; 0 for varints.
_VALUES = {4: 4, 5: 0, 7: 0, 10: 8, 11: 0}
_COMPLEX = (14, 15)
_LARGEST_WINDOW = 4096
_WINDOWS = ("kernel_shape", "strides", "pads", "dilations", "output_padding")

# Operators whose output is no larger than their inputs say, at once and for certain.
_COMMON = frozenset(
    [
        "Conv",
        "ConvInteger",
        "QLinearConv",
        "Gemm",
        "MatMul",
        "MatMulInteger",
        "QLinearMatMul",
        "QGemm",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "QLinearAveragePool",
        "QLinearGlobalAveragePool",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Clip",
        "Softmax",
        "LogSoftmax",
        "QLinearSoftmax",
        "QLinearSigmoid",
        "QLinearLeakyRelu",
        "QLinearAdd",
        "QLinearMul",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Sqrt",
        "Pow",
        "Exp",
        "Log",
        "Neg",
        "Abs",
        "Erf",
        "Gelu",
        "BatchNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "LRN",
        "Dropout",
        "Identity",
        "Cast",
        "Flatten",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Concat",
        "Split",
        "Slice",
        "Gather",
        "Shape",
        "Constant",
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "ArgMax",
    ]
)
_DOMAINS = ("", "ai.onnx", "com.microsoft")


@dataclass
class _Found:
    """What has been counted so far."""

    path: Path
    nodes: int = 0
    bytes: int = 0
    harmless: bool = True
    checked: set[str] = field(default_factory=set)


def check(content: bytes, path: Path) -> bool:
    """Return whether a file holds only common operators in common use.

    Raises:
        Malformed: it is broken, or reaches for what lies outside of its folder.
    """
    found = _Found(path)
    try:
        _model(memoryview(content), found)
    except (ValueError, IndexError) as error:
        if isinstance(error, Malformed):
            raise
        reason = "a name that is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise Malformed(f"a broken protocol buffer ({reason})") from error
    return found.harmless


def _model(content: memoryview, found: _Found) -> None:
    graphs, opsets, ir = [], 0, 0
    for number, value in _fields(content):
        if number == 1 and isinstance(value, int):
            ir = value
        elif number == 7:
            graphs.append(_bytes(value))
        elif number == 8:
            opsets += 1
            _text(_bytes(value), 1)
        elif number == 14:
            _text(_bytes(value), 1)
            _text(_bytes(value), 2)
        elif number in (20, 25):
            # A function of the file's own is as unknown as a custom operator.
            found.harmless = False
    if not ir or not opsets or len(graphs) != 1:
        raise Malformed(f"IR version {ir}, {opsets} opsets and {len(graphs)} graphs")
    _graph(graphs[0], found, frozenset(), 0)


def _graph(graph: memoryview, found: _Found, outer: frozenset[str], depth: int) -> None:
    """Check a graph; `outer` are the names of the graphs around it, which it may use."""
    if depth > _MOST_DEPTH:
        raise Malformed(f"graphs within graphs, more than {_MOST_DEPTH} deep")
    known = {""} | outer
    nodes, outputs = [], []
    for number, value in _fields(graph):
        if number == 1:
            nodes.append(_bytes(value))
        elif number == 5:
            _tensor(_bytes(value), found)
            known.add(_text(_bytes(value), 8))
        elif number == 11:
            known.add(_text(_bytes(value), 1))
        elif number == 12:
            outputs.append(_text(_bytes(value), 1))
        elif number == 15:
            raise Malformed("sparse weights")
    found.nodes += len(nodes)
    if found.nodes > _MOST_NODES:
        raise Malformed(f"{found.nodes} nodes, of at most {_MOST_NODES}")
    for node in nodes:
        known |= _node(node, found, known, depth)
    if missing := [name for name in outputs if name not in known]:
        raise Malformed(f"the output {missing[0][:80]!r}, which no node makes")


def _node(node: memoryview, found: _Found, known: set[str], depth: int) -> set[str]:
    """Check a node and return the names of its outputs."""
    outputs: set[str] = set()
    operator = domain = ""
    for number, value in _fields(node):
        if number not in (1, 2, 3, 4, 7):
            continue
        text = bytes(_bytes(value)).decode()
        if number == 1 and text not in known:
            raise Malformed(f"a node before its input, {text[:80]!r}")
        if number == 2:
            outputs.add(text)
        elif number == 4:
            operator = text
        elif number == 7:
            domain = text
    if operator not in _COMMON or domain not in _DOMAINS:
        found.harmless = False
    for number, value in _fields(node):
        if number == 5:
            _attribute(_bytes(value), found, known, depth)
    return outputs


def _attribute(attribute: memoryview, found: _Found, known: set[str], depth: int) -> None:
    name = _text(attribute, 1)
    for number, value in _fields(attribute):
        if number in (5, 10):
            _tensor(_bytes(value), found)
        elif number in (6, 11):
            found.harmless = False
            _graph(_bytes(value), found, frozenset(known), depth + 1)
        elif number in (22, 23):
            raise Malformed("sparse weights")
        elif number == 8 and name in _WINDOWS:
            least = 0 if name in ("pads", "output_padding") else 1
            if not all(least <= size <= _LARGEST_WINDOW for size in _integers(value)):
                raise Malformed(f"{name} of a window outside of {least} to {_LARGEST_WINDOW}")


def _tensor(tensor: memoryview, found: _Found) -> None:
    """Check that a tensor holds as many values as its shape says."""
    shape: list[int] = []
    kind = elsewhere = 0
    external: list[memoryview] = []
    raw: int | None = None
    count = 0
    for number, value in _fields(tensor):
        if number == 1:
            shape += _integers(value)
        elif number in (2, 14) and isinstance(value, int):
            kind, elsewhere = (value, elsewhere) if number == 2 else (kind, value)
        elif number == 9:
            raw = len(_bytes(value))
        elif number == 13:
            external.append(_bytes(value))
        elif number in _VALUES:
            count += _count(value, _VALUES[number])
        elif number == 6:
            count += 1
    size = _size(shape, kind)
    found.bytes += size
    if found.bytes > MOST_BYTES:
        raise TooLarge(f"weights of more than {MOST_BYTES >> 20} MB in all")
    if elsewhere == 1 or external:
        _external(external, size, found)
    elif raw is not None and kind != _STRING:
        _same(shape, raw, size, "bytes")
    else:
        _same(shape, count, _values(shape, kind), "values")


def _size(shape: list[int], kind: int) -> int:
    """Return the bytes of a tensor."""
    if kind not in _BITS and kind != _STRING:
        raise Malformed(f"a tensor of the unknown type {kind}")
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=1) < 0:
        raise Malformed(f"a tensor of shape {_shown(shape)}")
    return (math.prod(shape) * _BITS.get(kind, 8) + 7) // 8


def _values(shape: list[int], kind: int) -> int:
    """Return how many numbers stand for a tensor where it is not raw."""
    count = math.prod(shape) * (2 if kind in _COMPLEX else 1)
    # Two numbers of 4 bits are packed into one.
    return (count + 1) // 2 if _BITS.get(kind) == 4 else count


def _same(shape: list[int], got: int, expected: int, what: str) -> None:
    if got != expected:
        raise Malformed(
            f"a tensor of shape {_shown(shape)} with {got} {what} instead of {expected}"
        )


def _external(entries: list[memoryview], size: int, found: _Found) -> None:
    """Check that weights beside the file lie in its own folder, and are all there."""
    told = {_text(entry, 1): _text(entry, 2) for entry in entries}
    location = told.get("location", "")
    parts = PurePosixPath(location).parts + PureWindowsPath(location).parts
    strange = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
    if not location or strange or ".." in parts or "\0" in location:
        raise Malformed(f"weights outside of its folder, at {location[:80]!r}")
    folder = found.path.resolve().parent
    try:
        file = (folder / location).resolve()
        inside, there = file.is_relative_to(folder), file.is_file()
        held = file.stat().st_size if inside and there else 0
    except OSError as error:
        raise Malformed(f"weights at {location[:80]!r}: {error.strerror}") from error
    if not inside:
        raise Malformed(f"weights outside of its folder, at {location[:80]!r}")
    if not there:
        raise Malformed(f"weights in {location[:80]!r}, which is not beside it")
    offset, length = (_decimal(told.get(key), size) for key in ("offset", "length"))
    offset = offset if "offset" in told else 0
    if length != size or offset + length > held:
        raise Malformed(f"{length} bytes of weights at {offset} of {held} in {location[:80]!r}")


def _decimal(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Malformed(f"a size of {text[:40]!r}")
    return int(text)


def _count(value: int | memoryview, width: int) -> int:
    """Return how many numbers a packed field holds, of `width` bytes or varints."""
    if isinstance(value, int):
        return 1
    if width:
        return len(value) // width
    # A varint ends with its only byte below 128.
    return len(bytes(value).translate(None, bytes(range(128, 256))))


def _integers(value: int | memoryview) -> Iterator[int]:
    """Yield the signed 64-bit integers of a field, packed or not."""
    from ..backends.onnx_file import _varint

    if isinstance(value, int):
        yield _signed(value)
        return
    position, count = 0, 0
    while position < len(value):
        number, position = _varint(value, position)
        count += 1
        if count > 1000:
            raise Malformed("a shape of more than 1000 numbers")
        yield _signed(number)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 & 1 else value


def _text(message: memoryview, number: int) -> str:
    """Return the last string of that number, which is the one that counts."""
    found = ""
    for field_number, value in _fields(message):
        if field_number == number:
            found = bytes(_bytes(value)).decode()
    return found


def _shown(shape: list[int]) -> str:
    return f"({', '.join(map(str, shape[: _MOST_DIMENSIONS + 1]))})"
