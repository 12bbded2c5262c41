"""An integer graph in, the calls of a C program out: its constants, its memory, its order.

Every value is held as unsigned bytes: an int8 `q` as `q + 128`. A change of sign then moves no
byte, and after a ReLU the zero point is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.int8 import (
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
    Window,
)

from .memory_plan import Buffer, Plan, plan_memory
from .pixel_graph import refuse

Array = NDArray[Any]
# Channels whose weights alternate, and the bytes after which they do.
_GROUP = 4


@dataclass(frozen=True)
class Constant:
    """An array or a structure in flash: `static const TYPE NAME = …`, and its bytes."""

    declaration: str
    value: Array | str
    size_bytes: int


@dataclass(frozen=True)
class Call:
    """One call in the program.

    Attributes:
        kernel: the function's name, which is also its file's.
        comment: what the layer is.
        before: the arguments before the images.
        images: the values that it reads, then the one that it writes.
        column: whether a place for one window follows.
        constants: in the order of their declaration.
    """

    kernel: str
    comment: str
    before: Sequence[str]
    images: Sequence[int]
    column: bool | None = None
    constants: Sequence[Constant] = ()


@dataclass(frozen=True)
class Program:
    """The calls, and where the values between them lie.

    Attributes:
        places: the C expression of each value's bytes.
        columns: the C expression of the place for one window, by call.
        memory: the block that the expressions mean by `scratch`.
    """

    calls: Sequence[Call]
    places: dict[int, str]
    columns: dict[int, str]
    memory: Plan


def c_program(graph: Graph) -> Program:
    """Return the C program of a graph.

    Raises:
        ModelError: a size or a sum does not fit.
    """
    return _Builder(graph).program()


@dataclass
class _Builder:
    graph: Graph
    calls: list[Call] = field(default_factory=list)
    same: dict[int, int] = field(default_factory=dict)
    windows: dict[int, int] = field(default_factory=dict)
    slack: dict[tuple[str, str], int] = field(default_factory=dict)

    def program(self) -> Program:
        for operator in self.graph.operators:
            _BUILDERS[type(operator)](self, operator)
        result = self._root(self.graph.output)
        if result == self._root(self.graph.input):
            raise refuse("a model without operators")
        memory = self._memory(result)
        places = {self._root(self.graph.input): "image", result: "output"}
        places |= {v: _place(memory, f"v{v}") for v in self._values() if v not in places}
        columns = {call: _place(memory, f"c{call}") for call in self.windows}
        return Program(self.calls, places, columns, memory)

    def _memory(self, result: int) -> Plan:
        """Return where values and columns lie in the scratch memory."""
        outside = {self._root(self.graph.input), result}
        buffers = {}
        for value in self._values():
            uses = [index for index, call in enumerate(self.calls) if value in call.images]
            if value not in outside:
                size = self.graph.values[value].size
                buffers[f"v{value}"] = Buffer(size, uses[0], uses[-1])
        for call, size in self.windows.items():
            buffers[f"c{call}"] = Buffer(size, call, call)
        slack = {
            (out, source): distance
            for (out, source), distance in self.slack.items()
            if out in buffers and source in buffers and buffers[out].first == buffers[source].last
        }
        return plan_memory(buffers, slack)

    def _values(self) -> Iterator[int]:
        return iter(dict.fromkeys(value for call in self.calls for value in call.images))

    def _root(self, value: int) -> int:
        """Return the value whose bytes another one shares."""
        return self.same.get(value, value)

    def _offset(self, value: int) -> int:
        """Return what is added to a value's bytes to make them unsigned."""
        return 128 if self.graph.values[value].signed else 0

    def _zero(self, value: int, zero_point: int) -> int:
        return zero_point + self._offset(value)

    def _limits(self, op: Any) -> str:
        shift = self._offset(op.output)
        return _braces(op.output_zero_point + shift, op.low + shift, op.high + shift)

    def _call(
        self,
        op: Any,
        kernel: str,
        comment: str,
        before: Sequence[object],
        constants: Sequence[Constant] = (),
        *,
        column: int | None = None,
        slack: int | None = 0,
    ) -> None:
        """Append a call.

        Args:
            column: bytes of the place for one window; 0 is a null pointer, None no argument.
            slack: as for `plan_memory`; None forbids to write over the input.
        """
        inputs = [*map(self._root, op.inputs if hasattr(op, "inputs") else (op.input,))]
        if column:
            self.windows[len(self.calls)] = column
        if slack is not None:
            self.slack |= {(f"v{op.output}", f"v{source}"): slack for source in inputs}
        images = [*inputs, op.output]
        texts = [str(argument) for argument in before]
        flag = None if column is None else bool(column)
        self.calls.append(Call(kernel, comment, texts, images, flag, constants))

    def _name(self, kind: str) -> str:
        return f"{kind}_{len(self.calls) + 1}"

    def convolution(self, op: Convolution) -> None:
        channels = len(op.weights)
        rows = op.weights.reshape(channels, -1)
        padded: Array = np.zeros((channels, -(-rows.shape[1] // 4) * 4), np.int8)
        padded[:, : rows.shape[1]] = rows
        zero = self._zero(op.input, op.input_zero_point)
        bias = self._bias(op, rows.sum(axis=1, dtype=np.int64), np.abs(rows.astype(int)).sum(1))
        direct = op.window.size == (1, 1) and op.window.padding == (0, 0)
        direct = direct and rows.shape[1] == padded.shape[1]
        name = self._name("layer")
        constants = _weights(name, _alternating(padded), bias, op.multipliers)
        fields = (
            _window(op.window, op.input_shape, op.output_shape),
            *(f"{name}_{part}" for part in ("weights", "bias", "multipliers")),
            _small(padded.shape[1]),
            zero,
            self._limits(op),
        )
        constants.append(_structure("Convolution", name, fields, 48))
        size = "x".join(map(str, op.window.size))
        kind = "Dense" if math.prod(op.input_shape[:2]) == 1 else f"Convolution {size}"
        self._call(
            op,
            "convolution",
            f"{kind}, {_shapes(op.input_shape, op.output_shape)}",
            [f"&{name}"],
            constants,
            column=0 if direct else padded.shape[1],
            slack=_slack(op.window, op.input_shape, op.output_shape, copied=not direct),
        )

    def depthwise(self, op: DepthwiseConvolution) -> None:
        height, width, channels = op.weights.shape
        rows = op.weights.reshape(-1, channels).T
        bias = self._bias(op, rows.sum(axis=1, dtype=np.int64), np.abs(rows.astype(int)).sum(1))
        name = self._name("layer")
        constants = _weights(name, rows.reshape(-1), bias, op.multipliers)
        fields = (
            _window(op.window, op.input_shape, op.output_shape),
            *(f"{name}_{part}" for part in ("weights", "bias", "multipliers")),
            channels // op.input_shape[2],
            self._zero(op.input, op.input_zero_point),
            self._limits(op),
        )
        constants.append(_structure("Depthwise", name, fields, 48))
        self._call(
            op,
            "depthwise",
            f"Depthwise convolution {height}x{width}, {_shapes(op.input_shape, op.output_shape)}",
            [f"&{name}"],
            constants,
            column=height * width * op.input_shape[2],
            slack=_slack(op.window, op.input_shape, op.output_shape, copied=True),
        )

    def _bias(
        self, op: Convolution | DepthwiseConvolution, sums: Array, magnitudes: Array
    ) -> Array:
        """Return the bias with the input's zero point folded in.

        Raises:
            ModelError: a sum could leave 32 bits, or a multiplier is negative.
        """
        zero = self._zero(op.input, op.input_zero_point)
        bias = op.bias.astype(np.int64) - zero * sums
        if np.max(np.abs(bias) + 255 * magnitudes) >= 2**31:
            raise refuse("a layer whose sums need more than 32 bits")
        if np.min(op.multipliers) < 0:
            raise refuse("a layer with a negative scale")
        return bias.astype(np.int32)

    def add(self, op: Add) -> None:
        # 255 times that is below 2^30.
        if sum(map(abs, op.multipliers)) > 2**22 or not 1 <= op.shift <= 30:
            raise refuse("a sum of scales that differ too much")
        name = self._name("layer")
        zeros = [self._zero(*pair) for pair in zip(op.inputs, op.zero_points, strict=True)]
        fields = (_braces(*op.multipliers), _braces(*zeros), op.shift, self._limits(op))
        constants = [_structure("Add", name, fields, 24)]
        self._call(op, "add", f"Sum, {_shape(op.shape)}", [f"&{name}", self._size(op)], constants)

    def multiply(self, op: Multiply) -> None:
        name = self._name("layer")
        zeros = [self._zero(*pair) for pair in zip(op.inputs, op.zero_points, strict=True)]
        fields = (_braces(*zeros), real(op.multiplier), self._limits(op))
        constants = [_structure("Multiply", name, fields, 16)]
        comment = f"Product, {_shape(op.shape)}"
        self._call(op, "multiply", comment, [f"&{name}", self._size(op)], constants)

    def pool(self, op: Pool) -> None:
        name = self._name("layer")
        offset = self._offset(op.input)
        window = _window(op.window, op.input_shape, op.output_shape)
        constants = [
            _structure("Window", name, (window,), 28, bare=True),
            _structure("Limits", f"{name}_limits", (0, op.low + offset, op.high + offset), 3),
        ]
        before: list[object] = [f"&{name}", f"&{name}_limits", *([offset] if op.average else [])]
        self._call(
            op,
            "average_pool" if op.average else "max_pool",
            f"{'Average' if op.average else 'Greatest'} of {op.window.size[0]}x"
            f"{op.window.size[1]}, {_shapes(op.input_shape, op.output_shape)}",
            before,
            constants,
            slack=_slack(op.window, op.input_shape, op.output_shape, copied=False),
        )

    def mean(self, op: Mean) -> None:
        name = self._name("layer")
        shift = self._offset(op.output)
        limits = (op.output_zero_point + shift, shift - 128, shift + 127)
        constants = [_structure("Limits", f"{name}_limits", limits, 3)]
        pixels = math.prod(op.input_shape[:2])
        zero = self._zero(op.input, op.input_zero_point)
        before = (pixels, op.input_shape[2], zero, real(op.multiplier), f"&{name}_limits")
        comment = f"Mean of each channel, {_shape(op.input_shape)}"
        self._call(op, "mean", comment, before, constants)

    def pad(self, op: Pad) -> None:
        name = self._name("layer")
        parts = {"from": op.input_shape, "before": op.before, "to": op.output_shape}
        constants = [
            Constant(f"uint16_t {name}_{part}[3]", np.array([*map(_small, shape)], np.uint16), 6)
            for part, shape in parts.items()
        ]
        zero = self._zero(op.input, op.zero_point)
        before = [*(f"{name}_{part}" for part in parts), zero]
        comment = f"Border, {_shapes(op.input_shape, op.output_shape)}"
        self._call(op, "pad", comment, before, constants, slack=None)

    def table(self, op: Table) -> None:
        byte = np.arange(256)
        bytes = op.bytes[byte ^ self._offset(op.input)] ^ np.uint8(self._offset(op.output))
        self_made = self._root(op.input) != self._root(self.graph.input)
        if np.array_equal(bytes, byte) and (self_made or op.output != self.graph.output):
            self.same[op.output] = self._root(op.input)
            return
        name = self._name("layer")
        constants = [Constant(f"uint8_t {name}_bytes[256]", bytes, 256)]
        size = self._size(op)
        self._call(op, "table", f"Table, {size} bytes", [f"{name}_bytes", size], constants)

    def softmax(self, op: Softmax) -> None:
        name = self._name("layer")
        constants = [Constant(f"float {name}_exponentials[256]", op.exponentials, 1024)]
        before = [f"{name}_exponentials", op.classes]
        self._call(op, "softmax", f"Softmax, {op.classes} classes", before, constants)

    def _size(self, op: Operator) -> int:
        return self.graph.values[op.output].size


_BUILDERS: dict[Any, Callable[[_Builder, Any], None]] = {
    Convolution: _Builder.convolution,
    DepthwiseConvolution: _Builder.depthwise,
    Add: _Builder.add,
    Multiply: _Builder.multiply,
    Pool: _Builder.pool,
    Mean: _Builder.mean,
    Pad: _Builder.pad,
    Table: _Builder.table,
    Softmax: _Builder.softmax,
}


def real(number: float) -> str:
    """Return the C constant of a float32 number."""
    text = repr(float(np.float32(number))) if number == 0 else f"{np.float32(number):.9g}"
    return f"{text if set(text) & set('.e') else f'{text}.0'}f"


def _alternating(rows: Array) -> Array:
    """Return weights (channels, taps) in the order in which `pixel` reads them."""
    whole = len(rows) // _GROUP * _GROUP
    groups = rows[:whole].reshape(-1, _GROUP, rows.shape[1] // 4, 4).transpose(0, 2, 1, 3)
    return np.concatenate([groups.reshape(-1), rows[whole:].reshape(-1)])


def _slack(
    window: Window,
    image: tuple[int, int, int],
    output: tuple[int, int, int],
    *,
    copied: bool,
) -> int:
    """Return how far below the input the output has to begin to be written over it.

    Args:
        copied: whether a window is copied before its pixel is written.
    """
    rows, columns = (
        np.maximum(np.arange(output[axis]) * window.strides[axis] - window.padding[axis], 0)
        for axis in (0, 1)
    )
    first = ((rows[:, np.newaxis] * image[1] + columns) * image[2]).reshape(-1)
    # The lowest byte that this pixel, or a later one, reads.
    needed = np.minimum.accumulate(first[::-1])[::-1]
    ends = np.arange(1, len(first) + 1) * output[2]
    distance = ends[:-1] - needed[1:] if copied else ends - needed
    # A last pixel reads nothing after it is written.
    return int(distance.max(initial=0))


def _weights(name: str, weights: Array, bias: Array, multipliers: Array) -> list[Constant]:
    return [
        Constant(f"int8_t {name}_weights[{weights.size}]", weights, weights.size),
        Constant(f"int32_t {name}_bias[{bias.size}]", bias, 4 * bias.size),
        Constant(f"float {name}_multipliers[{bias.size}]", multipliers, 4 * bias.size),
    ]


def _structure(
    type: str, name: str, fields: Sequence[object], size: int, *, bare: bool = False
) -> Constant:
    text = str(fields[0]) if bare else _braces(*fields)
    if len(text) > 60:
        rest = ", ".join(map(str, fields[1:]))
        text = f"{{\n    {fields[0]},\n    {rest},\n}}"
    return Constant(f"{type} {name}", text, size)


def _window(window: Window, image: Sequence[int], output: Sequence[int]) -> str:
    pairs = (window.size, window.strides, window.padding, window.dilations)
    numbers = (*image, *output, *(number for pair in pairs for number in pair))
    return _braces(*map(_small, numbers[:6]), *(_braces(*map(_small, pair)) for pair in pairs))


def _small(number: int) -> int:
    """Return a number that a uint16_t holds."""
    if not 0 <= number < 2**16:
        raise refuse(f"a layer with a size of {number}")
    return number


def _braces(*parts: object) -> str:
    return f"{{{', '.join(map(str, parts))}}}"


def _place(memory: Plan, name: str) -> str:
    place = memory.places[name]
    return f"scratch + {place}" if place else "scratch"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _shapes(image: Sequence[int], output: Sequence[int]) -> str:
    return f"{_shape(image)} to {_shape(output)}"
