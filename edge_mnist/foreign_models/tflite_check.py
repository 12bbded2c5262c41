"""Look through a `.tflite` file that no manifest vouches for, before a native library does.

The runtimes check that a flatbuffer is well-formed, and then believe it: an operator may write
over its weights, a stride of 0 divides, a convolution reads past a bias that is too short. The
field numbers are those of schema.fbs in TensorFlow; they never change.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .flatbuffer import Table, root
from .malformed import MOST_BYTES, Malformed, TooLarge
from .tflite_operators import harmless

# Fifty times the largest classifier for a Raspberry Pi; each costs a look.
_MOST_PARTS = 20_000
_MOST_DIMENSIONS = 8

# TensorType: the bits of an element. STRING, RESOURCE and VARIANT have no fixed ones.
_BITS = {0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64}
_BITS |= {15: 32, 16: 16, 17: 4, 18: 16, 19: 2, 20: 4}
_STRING, _OPAQUE = 5, (13, 14)
_INT32, _UINT8, _INT8 = 2, 3, 9
# Axes, shapes and paddings are no longer than this.
_SHORT = 64


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a tensor is: `type` is schema.fbs's number; `constant` means that the file holds it.

    `dimension` is the axis that several scales go along; `integers` are the values of a short
    constant of INT32, such as a shape.
    """

    index: int
    shape: tuple[int, ...]
    type: int
    constant: bool
    variable: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    dimension: int
    integers: tuple[int, ...] | None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator: `code` is BuiltinOperator's number, `options` its own table, if any."""

    code: int
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Table | None
    options_type: int

    def option(self, field: int, format: str, default: int = 0) -> int:
        return default if self.options is None else self.options.number(field, format, default)


@dataclass(frozen=True)
class Model:
    """The subgraphs of a file, each a sequence of operators.

    `closed` says that every size but an input's first, the batch, is known.
    """

    graphs: tuple[tuple[Operator, ...], ...]
    closed: bool


def check(content: bytes) -> bool:
    """Return whether a file is known to be harmless, of common operators in common use.

    Raises:
        Malformed: it is one that a runtime should not see.
    """
    model = read(content)
    every = [harmless(operator) for operators in model.graphs for operator in operators]
    return len(model.graphs) == 1 and model.closed and all(every)


def read(content: bytes) -> Model:
    """Return the operators of a file whose tensors, buffers and indices all agree.

    Raises:
        Malformed: they do not.
    """
    model = root(content, b"TFL3")
    if (version := model.number(0, "I")) != 3:
        raise Malformed(f"schema version {version}")
    if model.span(8, 4)[1] or model.span(9, 4)[1]:
        raise Malformed("weights in other files")
    codes = [_code(table) for table in model.tables(1, most=_MOST_PARTS)]
    buffers = [_buffer(table) for table in model.tables(4, most=_MOST_PARTS)]
    graphs = model.tables(2, most=_MOST_PARTS)
    if not graphs:
        raise Malformed("no graph")
    reader = _Reader(content, codes, buffers, len(graphs))
    found = Model(tuple(reader.graph(table) for table in graphs), reader.closed)
    _metadata(model, len(buffers))
    _signatures(model, reader.counts)
    return found


def _code(table: Table) -> tuple[int, int]:
    """Return an operator's number and version; numbers to 127 stand in the older field."""
    table.text(1)
    return max(table.number(0, "b"), table.number(3, "i")), table.number(2, "i", 1)


def _buffer(table: Table) -> tuple[int, int]:
    """Return where a buffer's bytes start, and how many they are."""
    start, size = table.span(0, 1)
    far, far_size = table.number(1, "Q"), table.number(2, "Q")
    if far <= 1:
        return start, size
    # Of a file above 2 GB the weights lie behind the flatbuffer.
    if far + far_size > len(table.content):
        raise Malformed(f"a buffer of {far_size} bytes at byte {far}, past the end")
    return far, far_size


def _metadata(model: Table, buffers: int) -> None:
    for table in model.tables(6, most=_MOST_PARTS):
        table.text(0)
        _index(table.number(1, "I"), buffers, "buffer")
    for index in model.numbers(5, "i"):
        _index(index, buffers, "buffer")


def _signatures(model: Table, tensors: Sequence[int]) -> None:
    for table in model.tables(7, most=_MOST_PARTS):
        table.text(2)
        graph = table.number(4, "I")
        _index(graph, len(tensors), "graph")
        for field in (0, 1):
            for entry in table.tables(field, most=_MOST_PARTS):
                entry.text(0)
                _index(entry.number(1, "I"), tensors[graph], "tensor")


def _index(index: int, count: int, what: str) -> None:
    if not 0 <= index < count:
        raise Malformed(f"{what} {index} of {count}")


class _Reader:
    """Reads the graphs of one file; `counts` are their numbers of tensors."""

    def __init__(
        self,
        content: bytes,
        codes: Sequence[tuple[int, int]],
        buffers: Sequence[tuple[int, int]],
        graphs: int,
    ) -> None:
        self._content, self._codes, self._buffers = content, codes, buffers
        self._graphs = graphs
        self._bytes = 0
        self.counts: list[int] = []
        self.closed = True

    def graph(self, table: Table) -> tuple[Operator, ...]:
        """Return a graph's operators, in an order in which each input is there before it."""
        tables = table.tables(0, most=_MOST_PARTS)
        tensors = [self._tensor(index, entry) for index, entry in enumerate(tables)]
        self.counts.append(len(tensors))
        table.text(4)
        inputs, outputs = (_chosen(table.numbers(f, "i"), tensors) for f in (1, 2))
        entries = table.tables(3, most=_MOST_PARTS)
        operators = tuple(self._operator(entry, tensors) for entry in entries)
        _check_order(tensors, operators, [t for t in inputs if t], [t for t in outputs if t])
        return operators

    def _tensor(self, index: int, table: Table) -> Tensor:
        shape, kind = table.numbers(0, "i"), table.number(1, "b")
        table.text(3)
        if table.number(10, "I"):
            raise Malformed("weights in other files")
        if len(shape) > _MOST_DIMENSIONS or min(shape, default=1) < 0:
            raise Malformed(f"tensor {index} of shape {_shown(shape)}")
        if kind not in _BITS and kind != _STRING and kind not in _OPAQUE:
            raise Malformed(f"tensor {index} of the unknown type {kind}")
        number = table.number(2, "I")
        _index(number, len(self._buffers), "buffer")
        start, size = self._buffers[number]
        self._count(index, shape, kind, start, size)
        signature = table.numbers(7, "i")
        if signature and not _agrees(signature, shape):
            raise Malformed(f"tensor {index} of shape {_shown(shape)} and {_shown(signature)}")
        # What is 1 here and open in the signature, the caller may make larger.
        self.closed &= -1 not in signature[1:]
        if table.table(6) is not None:
            raise Malformed(f"tensor {index} of sparse weights")
        scales, zero_points, dimension = _quantization(index, table.table(4), shape, kind)
        short = kind == _INT32 and 0 < size <= _SHORT
        return Tensor(
            index,
            shape,
            kind,
            size > 0,
            bool(table.number(5, "B")),
            scales,
            zero_points,
            dimension,
            struct.unpack_from(f"<{size // 4}i", self._content, start) if short else None,
        )

    def _count(self, index: int, shape: tuple[int, ...], kind: int, start: int, size: int) -> None:
        """Check the bytes a tensor brings, or count those it will take."""
        if kind == _STRING:
            _check_strings(index, self._content[start : start + size])
            return
        needed = (math.prod(shape) * _BITS.get(kind, 0) + 7) // 8
        if size and kind in _BITS and size != needed:
            raise Malformed(
                f"tensor {index} of shape {_shown(shape)} with {size} bytes instead of {needed}"
            )
        self._bytes += needed
        if self._bytes > MOST_BYTES:
            raise TooLarge(f"tensors of more than {MOST_BYTES >> 20} MB in all")

    def _operator(self, table: Table, tensors: Sequence[Tensor]) -> Operator:
        number = table.number(0, "I")
        _index(number, len(self._codes), "operator code")
        code, version = self._codes[number]
        inputs, outputs = (_chosen(table.numbers(f, "i"), tensors) for f in (1, 2))
        _chosen(table.numbers(8, "i"), tensors)
        if None in outputs:
            raise Malformed("an operator without an output")
        # A union is two fields: which table it is, and the table.
        kind, options = table.number(3, "B"), table.table(4)
        table.span(5, 1)
        if table.number(9, "Q") > 1:
            raise Malformed("custom options behind the file")
        given = tuple(tensor for tensor in outputs if tensor)
        return Operator(code, version, inputs, given, options, kind)


def _chosen(indices: tuple[int, ...], tensors: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Return the tensors of those indices; None for -1, an optional one left out."""
    for index in indices:
        _index(index, len(tensors), "tensor") if index != -1 else None
    return tuple(None if index == -1 else tensors[index] for index in indices)


def _check_order(
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
) -> None:
    """Refuse a value taken before it is there, or written where something else is."""
    known = {t.index for t in tensors if t.constant or t.variable}
    for tensor in inputs:
        if tensor.constant:
            raise Malformed(f"an input, tensor {tensor.index}, with a value of its own")
        known.add(tensor.index)
    # A name may stand among the inputs, and the outputs, of a graph more than once.
    for number, operator in enumerate(operators):
        for given in operator.inputs:
            if given and given.index not in known and given.elements:
                raise Malformed(f"operator {number} before its input, tensor {given.index}")
        for made in operator.outputs:
            if made.index in known:
                raise Malformed(f"operator {number} writing over tensor {made.index}")
            known.add(made.index)
    for tensor in outputs:
        if tensor.index not in known:
            raise Malformed(f"an output, tensor {tensor.index}, that nothing makes")


def _quantization(
    index: int, table: Table | None, shape: tuple[int, ...], kind: int
) -> tuple[tuple[float, ...], tuple[int, ...], int]:
    """Return scales and zero points, none, one, or one for each slice, and of which dimension."""
    if table is None:
        return (), (), 0
    scales, zero_points = table.numbers(2, "f"), table.numbers(3, "q")
    dimension = table.number(6, "i")
    if table.number(4, "B"):
        raise Malformed(f"tensor {index} with a custom quantization")
    slices = shape[dimension] if 0 <= dimension < len(shape) else 0
    if len(scales) not in (0, 1, slices) or len(zero_points) not in (0, len(scales)):
        raise Malformed(
            f"tensor {index} of shape {_shown(shape)} with {len(scales)} scales and "
            f"{len(zero_points)} zero points along dimension {dimension}"
        )
    if not all(0 <= scale < math.inf for scale in scales):
        raise Malformed(f"tensor {index} with a scale that is negative or no number")
    low, high = {_UINT8: (0, 255), _INT8: (-128, 127)}.get(kind, (-(2**31), 2**31 - 1))
    if not all(low <= point <= high for point in zero_points):
        raise Malformed(f"tensor {index} with a zero point outside of its type")
    return scales, zero_points, dimension


def _agrees(signature: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape is the one of a signature, in which -1 is any size."""
    return len(signature) == len(shape) and all(
        s in (-1, size) for s, size in zip(signature, shape, strict=True)
    )


def _check_strings(index: int, content: bytes) -> None:
    """Check a vector of strings: their number, where each begins, where the last ends."""
    if not content:
        return
    words = memoryview(content[: len(content) & ~3]).cast("i")
    count = words[0] if len(words) else -1
    ends = words[1 : count + 2]
    fit = 0 <= count < len(words) - 1 and ends[0] == 4 * (count + 2) and ends[-1] <= len(content)
    if not fit or any(a > b for a, b in pairwise(ends)):
        raise Malformed(f"tensor {index} of broken strings")


def _shown(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape[: _MOST_DIMENSIONS + 1]))})"
