"""Read the tensors and operators of a `.tflite` file that nobody vouches for.

Every index and size is checked. The field numbers are those of TensorFlow's schema.fbs:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

from .flatbuffer import Table, root
from .malformed import MOST_BYTES, Malformed, TooLarge

_MOST_DIMENSIONS = 8
# TensorType: bits of an element, where they are not 32. STRING, RESOURCE and VARIANT have no
# fixed size.
_BITS = {1: 16, 3: 8, 4: 64, 5: 0, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64}
_BITS |= {13: 0, 14: 0, 16: 16, 17: 4, 18: 16, 19: 2, 20: 4}
_INT32 = 2
# Constants of at most this many bytes are read: shapes, axes and paddings.
_SHORT = 64


class Tensor(NamedTuple):
    """A tensor of a graph.

    Attributes:
        index: its position among the tensors of its graph.
        type: TensorType's number.
        start: where its values begin in the file.
        size_bytes: the bytes of its values in the file; 0 if the file holds none.
        variable: whether it keeps its values from one run to the next.
        dimension: the axis along which several scales apply.
        integers: the values of a short INT32 constant, such as a shape.
    """

    index: int  # type: ignore[assignment]  # not the method of a tuple
    shape: tuple[int, ...]
    type: int
    start: int
    size_bytes: int
    variable: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    dimension: int
    integers: tuple[int, ...] | None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def constant(self) -> bool:
        """Whether the file holds its values."""
        return self.size_bytes > 0


class Operator(NamedTuple):
    """An operator.

    Attributes:
        code: BuiltinOperator's number.
        inputs: its tensors, None for an optional one that is left out.
        options: its own table, if any.
        options_type: BuiltinOptions' number.
    """

    code: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Table | None
    options_type: int

    def option(self, field: int, format: str, default: int = 0) -> int:
        return default if self.options is None else self.options.number(field, format, default)


class Graph(NamedTuple):
    """A graph: its operators in the order in which they run."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]


class Model(NamedTuple):
    """The graphs of a file.

    `usual` says that every size but an input's first, the batch, is known, and that no tensor has
    a custom quantization.
    """

    graphs: tuple[Graph, ...]
    usual: bool


def read(content: bytes) -> Model:
    """Return the graphs of a file.

    Raises:
        Malformed: an index, offset or size is wrong, or data lies in other files.
        TooLarge: its tensors take more memory than a small device has.
    """
    model = root(content, b"TFL3")
    if model.span(8, 4)[1] or model.span(9, 4)[1]:
        raise Malformed("weights in other files")
    codes = [_read_code(table) for table in model.tables(1)]
    buffers = [_read_buffer(table) for table in model.tables(4)]
    model.text(3)
    for entry in (*model.tables(6), *_signature_entries(model)):
        entry.text(0)
    reader = _Reader(content, codes, buffers)
    graphs = tuple(reader.graph(table) for table in model.tables(2))
    return Model(graphs, reader.usual)


def _signature_entries(model: Table) -> list[Table]:
    signatures = model.tables(7)
    for signature in signatures:
        signature.text(2)
    return [entry for table in signatures for field in (0, 1) for entry in table.tables(field)]


def _read_code(table: Table) -> int:
    """Return an operator's number; numbers up to 127 are in the older field."""
    table.text(1)
    return max(table.number(0, "b"), table.number(3, "i"))


def _read_buffer(table: Table) -> tuple[int, int]:
    """Return where a buffer's bytes start, and their count."""
    start, size = table.number(1, "Q"), table.number(2, "Q")
    if start <= 1:
        return table.span(0, 1)
    # Files above 2 GB hold their weights behind the flatbuffer.
    if start + size > len(table.content):
        raise Malformed(f"a buffer of {size} bytes at byte {start}, past the end")
    return start, size


def _check_index(index: int, count: int, what: str) -> None:
    if not 0 <= index < count:
        raise Malformed(f"{what} {index} of {count}")


class _Reader:
    """Reads the graphs of one file, and adds up the memory that they take."""

    def __init__(
        self, content: bytes, codes: Sequence[int], buffers: Sequence[tuple[int, int]]
    ) -> None:
        self._content, self._codes, self._buffers = content, codes, buffers
        self._bytes = 0
        self.usual = True

    def graph(self, table: Table) -> Graph:
        entries = enumerate(table.tables(0))
        tensors = tuple(self._tensor(index, entry) for index, entry in entries)
        table.text(4)
        inputs, outputs = (_present(_choose(table, field, tensors)) for field in (1, 2))
        operators = tuple(self._operator(entry, tensors) for entry in table.tables(3))
        return Graph(tensors, inputs, outputs, operators)

    def _tensor(self, index: int, table: Table) -> Tensor:
        shape, kind = table.numbers(0, "i"), table.number(1, "b")
        table.text(3)
        if table.number(10, "I"):
            raise Malformed("weights in other files")
        if len(shape) > _MOST_DIMENSIONS or min(shape, default=1) < 0:
            raise Malformed(f"tensor {index} of shape {shape[: _MOST_DIMENSIONS + 1]}")
        number = table.number(2, "I")
        _check_index(number, len(self._buffers), "buffer")
        start, size = self._buffers[number]
        self._check_size(index, shape, _BITS.get(kind, 32), size)
        # The caller may enlarge sizes that are 1 in the shape and open, -1, in the signature.
        signature = table.numbers(7, "i")
        self.usual &= -1 not in signature[1:]
        if table.table(6) is not None:
            raise Malformed(f"tensor {index} of sparse weights")
        short = kind == _INT32 and 0 < size <= _SHORT
        return Tensor(
            index,
            shape,
            kind,
            start,
            size,
            bool(table.number(5, "B")),
            *self._quantization(table.table(4)),
            struct.unpack_from(f"<{size // 4}i", self._content, start) if short else None,
        )

    def _check_size(self, index: int, shape: tuple[int, ...], bits: int, size: int) -> None:
        """Refuse a constant of another size than its shape, and too many bytes in all."""
        needed = (math.prod(shape) * bits + 7) // 8
        if size and bits and size != needed:
            raise Malformed(f"tensor {index} of shape {shape}: {size} bytes instead of {needed}")
        self._bytes += needed
        if self._bytes > MOST_BYTES:
            raise TooLarge(f"tensors of more than {MOST_BYTES >> 20} MB in all")

    def _quantization(self, table: Table | None) -> tuple[tuple[float, ...], tuple[int, ...], int]:
        if table is None:
            return (), (), 0
        self.usual &= not table.number(4, "B")
        return table.numbers(2, "f"), table.numbers(3, "q"), table.number(6, "i")

    def _operator(self, table: Table, tensors: Sequence[Tensor]) -> Operator:
        number = table.number(0, "I")
        _check_index(number, len(self._codes), "operator code")
        inputs, outputs = (_choose(table, field, tensors) for field in (1, 2))
        _choose(table, 8, tensors)
        # A union takes two fields: the type of its table, and the table.
        kind, options = table.number(3, "B"), table.table(4)
        table.span(5, 1)
        return Operator(self._codes[number], inputs, _present(outputs), options, kind)


def _choose(table: Table, field: int, tensors: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Return the tensors of a vector of indices; None for -1, an optional tensor."""
    indices = table.numbers(field, "i")
    for index in indices:
        if index != -1:
            _check_index(index, len(tensors), "tensor")
    return tuple(None if index == -1 else tensors[index] for index in indices)


def _present(tensors: tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor for tensor in tensors if tensor is not None)
