"""An integer graph and a number of images in; a program of numpy calls that computes it, out.

A value is held as `q - zero_point`, an integer of -255 to 255, in float32, so that BLAS multiplies
the matrices. The sums are exact: float32 holds every integer up to 2^24. A layer whose weights
could make a greater sum takes float64, which holds them up to 2^53.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .graph import (
    Add,
    Convolution,
    DepthwiseConvolution,
    Graph,
    Mean,
    Multiply,
    Pad,
    Pool,
    Softmax,
    Table,
    Value,
    Window,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .graph import Shape

    Array = NDArray[Any]

_EXACT_FLOAT32 = 2**24
# The greatest distance of a value from its zero point.
_MOST = 255


class Program:
    """A graph with its memory allocated, for one number of images.

    Attributes:
        input: (images, size) the bytes of the input; `run` reads them.
        output: (images, size) the bytes of the output; `run` overwrites them.
    """

    def __init__(self, graph: Graph, images: int) -> None:
        self._graph, self._count = graph, images
        self._arrays: dict[int, Array] = {}
        self._steps: list[Callable[[], object]] = []
        self._padded = _padded_values(graph)
        source, result = graph.values[graph.input], graph.values[graph.output]
        self.input: Array = np.zeros((images, source.size), _dtype(source))
        self.output: Array = np.zeros((images, result.size), _dtype(result))
        self._load(source)
        for operator in graph.operators:
            _COMPILERS[type(operator)](self, operator)
        self._store(result)

    def run(self) -> None:
        """Compute `output` from `input`."""
        for step in self._steps:
            step()

    def _do(self, function: Callable[..., object], *arguments: Any, **options: Any) -> None:
        """Append a call to the program."""
        self._steps.append(lambda: function(*arguments, **options))

    def _load(self, value: Value) -> None:
        image = self._new(self._graph.input)
        source = self.input.reshape(image.shape)
        if value.zero_point:
            self._do(np.subtract, source, np.float32(value.zero_point), image)
        else:
            self._do(np.copyto, image, source, "unsafe")

    def _store(self, value: Value) -> None:
        image = self._get(self._graph.output)
        bytes: Array = np.empty_like(image)
        self._do(np.add, image, np.float32(value.zero_point), bytes)
        self._do(np.copyto, self.output, bytes, "unsafe")

    def _new(self, index: int) -> Array:
        """Return the array that an operator writes: (images, size), or the middle of a border."""
        size = self._graph.values[index].size
        if index in self._padded:
            shape, window, output_shape = self._padded[index]
            _, self._arrays[index] = self._bordered(shape, window, output_shape)
        else:
            self._arrays[index] = np.zeros((self._count, size), np.float32)
        return self._arrays[index]

    def _get(self, index: int) -> Array:
        """Return the values (images, size) that an operator reads."""
        return self._arrays[index].reshape(self._count, -1)

    def _bordered(
        self, shape: Shape, window: Window, output_shape: Shape, fill: float = 0.0
    ) -> tuple[Array, Array]:
        """Return an array with room for the padding, and its middle, which holds the image."""
        (top, left), sizes = window.padding, []
        for axis in (0, 1):
            reach = (window.size[axis] - 1) * window.dilations[axis] + 1
            needed = (output_shape[axis] - 1) * window.strides[axis] + reach
            sizes.append(max(needed, window.padding[axis] + shape[axis]))
        whole: Array = np.full((self._count, *sizes, shape[2]), fill, np.float32)
        return whole, whole[:, top : top + shape[0], left : left + shape[1]]

    def _windows(
        self, index: int, shape: Shape, window: Window, output_shape: Shape, fill: float = 0.0
    ) -> Array:
        """Return a view of the windows: (images, rows, columns, height, width, channels)."""
        image = self._arrays[index]
        if index in self._padded:
            whole = image.base
            assert whole is not None
        elif any(window.padding) or _reaches_over(shape, window, output_shape):
            whole, middle = self._bordered(shape, window, output_shape, fill)
            self._do(np.copyto, middle, image.reshape(middle.shape))
        else:
            whole = image.reshape(-1, *shape)
        n, y, x, c = whole.strides
        (down, right), (gap_y, gap_x) = window.strides, window.dilations
        return as_strided(
            whole,
            (self._count, *output_shape[:2], *window.size, shape[2]),
            (n, y * down, x * right, y * gap_y, x * gap_x, c),
        )

    def convolution(self, op: Convolution) -> None:
        channels = len(op.weights)
        weights = op.weights.reshape(channels, -1).astype(np.float64)
        dtype = _exact(np.abs(weights).sum(axis=1) * _MOST + np.abs(op.bias.astype(np.float64)))
        windows = self._windows(op.input, op.input_shape, op.window, op.output_shape)
        rows = self._count * math.prod(op.output_shape[:2])
        # A last column of ones adds the bias.
        columns = np.ones((rows, weights.shape[1] + 1), dtype)
        patches = columns[:, :-1].reshape(windows.shape, copy=False)
        self._do(np.copyto, patches, windows)
        matrix = np.ascontiguousarray(np.c_[weights, op.bias].T.astype(dtype))
        sums: Array = np.empty((rows, channels), dtype)
        self._do(np.matmul, columns, matrix, sums)
        self._requantize(op, sums)

    def depthwise(self, op: DepthwiseConvolution) -> None:
        weights = op.weights.astype(np.float64)
        dtype = _exact(np.abs(weights).sum(axis=(0, 1)) * _MOST + np.abs(op.bias.astype(float)))
        windows = self._windows(op.input, op.input_shape, op.window, op.output_shape)
        height, width, channels = op.weights.shape
        inputs = op.input_shape[2]
        # (…, inputs, channels of each input)
        shape = (self._count, *op.output_shape[:2], inputs, channels // inputs)
        kernel = weights.reshape(height, width, *shape[3:]).astype(dtype)
        sums, product = np.empty(shape, dtype), np.empty(shape, dtype)
        self._do(np.copyto, sums, op.bias.reshape(shape[3:]).astype(dtype))
        for row in range(height):
            for column in range(width):
                pixels = windows[:, :, :, row, column, :, np.newaxis]
                self._do(np.multiply, pixels, kernel[row, column], product)
                self._do(np.add, sums, product, sums)
        self._requantize(op, sums.reshape(-1, channels))

    def _requantize(self, op: Convolution | DepthwiseConvolution, sums: Array) -> None:
        """Write sums (rows, channels) as the output of an operator with weights."""
        if sums.dtype != np.float32:
            rounded: Array = np.empty(sums.shape, np.float32)
            self._do(np.copyto, rounded, sums, "unsafe")
            sums = rounded
        self._do(np.multiply, sums, op.multipliers, sums)
        self._finish(op, sums, self._new(op.output))

    def _finish(
        self, op: Convolution | DepthwiseConvolution | Multiply, values: Array, out: Array
    ) -> None:
        """Clip and round. Both limits are integers, so that the order does not matter."""
        low, high = (np.float32(limit - op.output_zero_point) for limit in (op.low, op.high))
        self._do(np.maximum, values, low, out=values)
        self._do(np.minimum, values, high, out=values)
        self._do(np.rint, values.reshape(out.shape), out)

    def add(self, op: Add) -> None:
        first, second = map(self._get, op.inputs)
        out = self._new(op.output)
        total: Array = np.empty(first.shape, np.float64)
        other: Array = np.empty(first.shape, np.float64)
        low, high = (float(limit - op.output_zero_point) for limit in (op.low, op.high))
        # Exact: a shift to the right is a product with a power of two, and `floor`.
        self._do(np.multiply, first, np.float64(op.multipliers[0] * 2.0**-op.shift), total)
        self._do(np.multiply, second, np.float64(op.multipliers[1] * 2.0**-op.shift), other)
        self._do(np.add, total, other, total)
        self._do(np.add, total, 0.5, total)
        self._do(np.floor, total, total)
        self._do(np.maximum, total, low, out=total)
        self._do(np.minimum, total, high, out=total)
        self._do(np.copyto, out, total.reshape(out.shape), "unsafe")

    def multiply(self, op: Multiply) -> None:
        first, second = map(self._get, op.inputs)
        product: Array = np.empty(first.shape, np.float32)
        self._do(np.multiply, first, second, product)
        self._do(np.multiply, product, np.float32(op.multiplier), product)
        self._finish(op, product, self._new(op.output))

    def pool(self, op: Pool) -> None:
        fill = 0.0 if op.average else -math.inf
        windows = self._windows(op.input, op.input_shape, op.window, op.output_shape, fill)
        out = self._new(op.output)
        zero_point = self._graph.values[op.input].zero_point
        low, high = (np.float32(limit - zero_point) for limit in (op.low, op.high))
        best: Array = np.empty(windows.shape[:3] + windows.shape[5:], np.float32)
        places = [(y, x) for y in range(op.window.size[0]) for x in range(op.window.size[1])]
        combine = np.add if op.average else np.maximum
        self._do(np.copyto, best, windows[:, :, :, 0, 0])
        for y, x in places[1:]:
            self._do(combine, best, windows[:, :, :, y, x], out=best)
        if op.average:
            self._average(best, _counts(op), zero_point)
        self._do(np.maximum, best, low, out=best)
        self._do(np.minimum, best, high, out=out.reshape(best.shape))

    def _average(self, sums: Array, counts: Array, zero_point: int) -> None:
        """Divide sums of `q - zero_point` so that the mean of `q` is rounded away from 0."""

        def divide() -> None:
            total = sums + counts * zero_point
            mean = np.floor((np.abs(total) + counts // 2) / counts)
            np.copyto(sums, np.copysign(mean, total) - zero_point, "unsafe")

        self._do(divide)

    def mean(self, op: Mean) -> None:
        image = self._get(op.input).reshape(self._count, -1, op.input_shape[2])
        out = self._new(op.output)
        low, high = (np.float32(limit - op.output_zero_point) for limit in (-128, 127))
        sums: Array = np.empty((self._count, op.input_shape[2]), np.float64)
        means: Array = np.empty(sums.shape, np.float32)
        self._do(np.sum, image, 1, np.float64, sums)
        self._do(np.copyto, means, sums, "unsafe")
        self._do(np.multiply, means, np.float32(op.multiplier), means)
        self._do(np.rint, means, means)
        self._do(np.maximum, means, low, out=means)
        self._do(np.minimum, means, high, out=out.reshape(means.shape))

    def pad(self, op: Pad) -> None:
        (top, left, front), (height, width, depth) = op.before, op.input_shape
        image = self._get(op.input).reshape(-1, *op.input_shape)
        out = self._new(op.output).reshape(-1, *op.output_shape)
        middle = out[:, top : top + height, left : left + width, front : front + depth]
        self._do(np.copyto, middle, image)

    def table(self, op: Table) -> None:
        source, result = (self._graph.values[index] for index in (op.input, op.output))
        image, out = self._get(op.input), self._new(op.output)
        first = (-128 if source.signed else 0) - source.zero_point
        bytes = np.roll(op.bytes, 128) if source.signed else op.bytes
        table = bytes.view(_dtype(result)).astype(np.float32) - np.float32(result.zero_point)
        if np.array_equal(table, np.arange(first, first + 256)):
            self._do(np.copyto, out, image.reshape(out.shape))
            return
        positions: Array = np.empty(image.shape, np.float32)
        indices: Array = np.empty(image.shape, np.intp)
        self._do(np.subtract, image, np.float32(first), positions)
        self._do(np.copyto, indices, positions, "unsafe")
        self._do(lambda: np.copyto(out, table[indices].reshape(out.shape)))

    def softmax(self, op: Softmax) -> None:
        image, out = self._get(op.input), self._new(op.output)
        exponentials = op.exponentials

        def step() -> None:
            steps = np.maximum.reduce(image, 1, keepdims=True) - image
            values = exponentials.take(steps.astype(np.intp))
            # `accumulate` adds one value after the other; `sum` would not.
            total = np.add.accumulate(values, 1)[:, -1:]
            np.multiply(values, np.float32(256) / total, values)
            np.rint(values, values)
            np.minimum(values, np.float32(_MOST), out=out.reshape(values.shape))

        self._do(step)


_COMPILERS: dict[Any, Callable[[Program, Any], None]] = {
    Convolution: Program.convolution,
    DepthwiseConvolution: Program.depthwise,
    Add: Program.add,
    Multiply: Program.multiply,
    Pool: Program.pool,
    Mean: Program.mean,
    Pad: Program.pad,
    Table: Program.table,
    Softmax: Program.softmax,
}


def _dtype(value: Value) -> type[np.int8] | type[np.uint8]:
    return np.int8 if value.signed else np.uint8


def _exact(greatest: Array) -> type[np.float32] | type[np.float64]:
    """Return the type that holds every sum, given the greatest of each channel."""
    return np.float32 if greatest.max() < _EXACT_FLOAT32 else np.float64


def _reaches_over(shape: Shape, window: Window, output_shape: Shape) -> bool:
    """Return whether the last window ends outside of the image."""
    return any(
        (output_shape[axis] - 1) * window.strides[axis]
        + (window.size[axis] - 1) * window.dilations[axis]
        >= shape[axis]
        for axis in (0, 1)
    )


def _counts(op: Pool) -> Array:
    """Return the number of pixels in each window: (rows, columns, 1)."""
    inside = []
    for axis in (0, 1):
        starts = np.arange(op.output_shape[axis]) * op.window.strides[axis]
        starts -= op.window.padding[axis]
        ends = np.minimum(starts + op.window.size[axis], op.input_shape[axis])
        inside.append(ends - np.maximum(starts, 0))
    return (inside[0][:, np.newaxis] * inside[1])[:, :, np.newaxis]


def _padded_values(graph: Graph) -> dict[int, tuple[Shape, Window, Shape]]:
    """Return the values that are written into the middle of a border, by index.

    Their only reader is a convolution with padding. It then needs no copy.
    """
    readers = Counter(
        index
        for op in graph.operators
        for index in (op.inputs if isinstance(op, Add | Multiply) else (op.input,))
    )
    readers[graph.output] += 1
    shapes = {op.output: getattr(op, "output_shape", None) for op in graph.operators}
    return {
        op.input: (op.input_shape, op.window, op.output_shape)
        for op in graph.operators
        if isinstance(op, Convolution | DepthwiseConvolution)
        and readers[op.input] == 1
        and shapes.get(op.input) in (None, op.input_shape)
        and (any(op.window.padding) or _reaches_over(op.input_shape, op.window, op.output_shape))
    }
