"""Integer graphs of every operator, with random weights: a seed in, a graph and its spec out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec, Scaling
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
    Value,
    Window,
)

Shape = tuple[int, int, int]


@dataclass
class Builder:
    """Appends operators; each method returns the index of the value that its operator writes."""

    shape: Shape
    seed: int = 1
    values: list[Value] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.new(self.shape, 0, signed=False)

    def new(self, shape: Shape, zero_point: int = -128, *, signed: bool = True) -> int:
        self.values.append(Value(math.prod(shape), 1.0, zero_point, signed))
        self.shapes.append(shape)
        return len(self.values) - 1

    def convolution(
        self,
        source: int,
        channels: int,
        window: Window,
        *,
        same: bool = False,
        zero_point: int = -128,
        each: int = 0,
        bound: int = 127,
    ) -> int:
        """Append a convolution; `each` output channels of each input channel if it is depthwise."""
        image = self.shapes[source]
        output, window = windows(image, window, same)
        channels = image[2] * each if each else channels
        shape = (*window.size, channels) if each else (channels, *window.size, image[2])
        taps = math.prod(window.size) * (1 if each else image[2])
        index = self.new((*output, channels), zero_point)
        kind = DepthwiseConvolution if each else Convolution
        self.operators.append(
            kind(
                source,
                index,
                image,
                (*output, channels),
                window,
                self.random.integers(-bound, bound + 1, shape).astype(np.int8),
                self.random.integers(-5000, 5000, channels).astype(np.int32),
                (self.random.uniform(0.5, 2.0, channels) / (bound * math.sqrt(taps))).astype("f4"),
                self.values[source].zero_point,
                zero_point,
                *(max(-128, zero_point - 100), 127),
            )
        )
        return index

    def pool(self, source: int, window: Window, *, average: bool, same: bool = False) -> int:
        image = self.shapes[source]
        output, window = windows(image, window, same)
        value = self.values[source]
        index = self.new((*output, image[2]), value.zero_point, signed=value.signed)
        limits = (-120, 120) if value.signed else (4, 250)
        self.operators.append(
            Pool(source, index, image, self.shapes[index], window, average, *limits)
        )
        return index

    def add(self, first: int, second: int, shift: int = 21) -> int:
        points = self.values[first].zero_point, self.values[second].zero_point
        index = self.new(self.shapes[first], 7)
        # As the reader makes them: the greater has 21 bits.
        scales = (round(2**20 * 1.41), round(2**20 * 0.43))
        self.operators.append(
            Add((first, second), index, self.shapes[first], scales, shift, points, 7, -128, 127)
        )
        return index

    def multiply(self, first: int, second: int) -> int:
        points = self.values[first].zero_point, self.values[second].zero_point
        index = self.new(self.shapes[first], -20)
        multiplier = float(np.float32(0.0123))
        self.operators.append(
            Multiply((first, second), index, self.shapes[first], multiplier, points, -20, -128, 120)
        )
        return index

    def mean(self, source: int) -> int:
        image = self.shapes[source]
        multiplier = float(np.float32(1.7) / np.float32(image[0] * image[1]))
        index = self.new((1, 1, image[2]), -30)
        zero = self.values[source].zero_point
        self.operators.append(Mean(source, index, image, multiplier, zero, -30))
        return index

    def pad(self, source: int, before: Shape, after: Shape) -> int:
        image, zero = self.shapes[source], self.values[source].zero_point
        output = tuple(a + b + c for a, b, c in zip(before, image, after, strict=True))
        index = self.new((output[0], output[1], output[2]), zero)
        self.operators.append(Pad(source, index, image, self.shapes[index], before, zero))
        return index

    def table(self, source: int, bytes: list[int] | None = None, *, signed: bool = True) -> int:
        index = self.new(self.shapes[source], 3 if signed else 0, signed=signed)
        chosen = self.random.integers(0, 256, 256) if bytes is None else bytes
        self.operators.append(Table(source, index, np.array(chosen, np.uint8)))
        return index

    def flip(self, source: int, *, signed: bool) -> int:
        """Append a change of sign."""
        index = self.table(source, [byte ^ 128 for byte in range(256)], signed=signed)
        zero_point = self.values[source].zero_point + (-128 if signed else 128)
        self.values[index] = Value(self.values[index].size, 1.0, zero_point, signed)
        return index

    def softmax(self, source: int, step: float = 0.07) -> int:
        index = self.new(self.shapes[source])
        exponentials = np.exp(-step * np.arange(256)).astype(np.float32)
        self.operators.append(Softmax(source, index, self.values[source].size, exponentials))
        return index

    def alone(self, output: int) -> Graph:
        return Graph(tuple(self.values), tuple(self.operators), 0, output, self.shape)

    def graph(self, output: int) -> tuple[Graph, ModelSpec]:
        """Return a graph whose output is taken for probabilities, and its spec."""
        value = self.values[output]
        zero_point = -128 if value.signed else 0
        self.values[output] = Value(value.size, 1 / 256, zero_point, value.signed)
        labels = tuple(f"{number}: “n”?" for number in range(value.size))
        return self.alone(output), ModelSpec(*self.shape, Scaling(1.0), labels)


def windows(image: Shape, window: Window, same: bool) -> tuple[tuple[int, int], Window]:
    """Return the output's rows and columns, and the window with its padding."""
    reach = [(size - 1) * gap + 1 for size, gap in zip(window.size, window.dilations, strict=True)]
    if not same:
        rows, columns = ((image[axis] - reach[axis]) // window.strides[axis] + 1 for axis in (0, 1))
        return (rows, columns), window
    rows, columns = (-(-image[axis] // window.strides[axis]) for axis in (0, 1))
    top, left = (
        max((count - 1) * window.strides[axis] + reach[axis] - image[axis], 0) // 2
        for axis, count in enumerate((rows, columns))
    )
    return (rows, columns), window._replace(padding=(top, left))


def everything(seed: int) -> tuple[Graph, ModelSpec]:
    """Return a graph of every operator, with branches and odd sizes."""
    b = Builder((13, 11, 3), seed)
    image = b.flip(0, signed=True)
    wide = b.convolution(image, 7, Window((3, 5)), same=True, zero_point=11)
    spread = b.convolution(wide, 6, Window((3, 3), dilations=(2, 3)), same=True, zero_point=-128)
    deep = b.convolution(wide, 0, Window((3, 3), (2, 2)), same=True, each=2, zero_point=5)
    half = b.pool(spread, Window((2, 3), (2, 2)), average=True, same=True)
    most = b.pool(spread, Window((3, 2), (2, 2)), average=False, same=True)
    both = b.multiply(half, most)
    total = b.add(b.pad(both, (0, 0, 3), (0, 0, 5)), deep)
    curved = b.table(total)
    again = b.add(curved, total, shift=23)
    narrow = b.convolution(again, 9, Window((1, 1), (2, 1)))
    bordered = b.pad(narrow, (1, 2, 0), (0, 1, 0))
    last = b.convolution(bordered, 12, Window((2, 2), (1, 2)))
    return b.graph(b.softmax(b.mean(last)))


def great_sums(seed: int) -> tuple[Graph, ModelSpec]:
    """Return a dense layer whose sums float32 does not hold, and an output of int8."""
    b = Builder((40, 40, 1), seed)
    flat = b.flip(0, signed=True)
    b.shapes[flat] = (1, 1, 1600)
    dense = b.convolution(flat, 6, Window((1, 1)))
    return b.graph(dense)


def unsigned(seed: int) -> tuple[Graph, ModelSpec]:
    """Return pools of uint8, and a value that is read after its result was read."""
    b = Builder((9, 9, 4), seed)
    small = b.pool(0, Window((2, 2), (2, 2)), average=True)
    most = b.pool(small, Window((3, 3)), average=False, same=True)
    first = b.convolution(most, 8, Window((3, 3)), same=True)
    second = b.convolution(first, 8, Window((3, 3)), same=True, zero_point=40)
    third = b.add(b.convolution(second, 8, Window((3, 3)), same=True), first)
    last = b.convolution(third, 10, Window((4, 4)), bound=20)
    return b.graph(b.flip(b.softmax(last), signed=False))


ZOO = {"everything": everything, "great sums": great_sums, "unsigned": unsigned}


_SQUARE, _STRIDED = Window((3, 3)), Window((3, 3), (2, 2))
# Graphs of one use of an operator: the value behind the input in, the output's index out.
_SINGLE: dict[str, Callable[[Builder, int], int]] = {
    "convolution": lambda b, x: b.convolution(x, 5, _SQUARE),
    "strides": lambda b, x: b.convolution(x, 5, Window((4, 2), (2, 1))),
    "padding": lambda b, x: b.convolution(x, 5, _SQUARE, same=True, zero_point=9),
    "padding and strides": lambda b, x: b.convolution(x, 5, _STRIDED, same=True),
    "dilations": lambda b, x: b.convolution(x, 5, Window((2, 3), dilations=(2, 2))),
    "two padded": lambda b, x: b.convolution(
        b.convolution(x, 6, _SQUARE, same=True, zero_point=9), 3, _SQUARE, same=True
    ),
    "depthwise": lambda b, x: b.convolution(x, 0, _SQUARE, each=1),
    "depthwise of two": lambda b, x: b.convolution(x, 0, _SQUARE, each=2, same=True),
    "separable": lambda b, x: b.convolution(
        b.convolution(x, 0, _SQUARE, each=1, same=True), 6, Window((1, 1))
    ),
    "max pool": lambda b, x: b.pool(x, Window((2, 2), (2, 2)), average=False),
    "max pool padded": lambda b, x: b.pool(x, _STRIDED, average=False, same=True),
    "average pool": lambda b, x: b.pool(x, Window((2, 3), (2, 2)), average=True),
    "average pool padded": lambda b, x: b.pool(x, _STRIDED, average=True, same=True),
    "mean": lambda b, x: b.mean(b.convolution(x, 9, _SQUARE, zero_point=9)),
    "pad": lambda b, x: b.convolution(b.pad(x, (1, 2, 0), (0, 1, 0)), 3, _SQUARE),
    "pad channels": lambda b, x: b.pad(x, (0, 0, 1), (0, 0, 2)),
    "table": lambda b, x: b.table(x),
    "softmax": lambda b, x: b.softmax(b.convolution(x, 10, Window((7, 6)))),
    "residual": lambda b, x: b.add(b.convolution(x, 4, _SQUARE, same=True), x),
    "gated": lambda b, x: b.convolution(b.multiply(b.table(x), x), 3, _SQUARE),
}


def single(name: str) -> Graph:
    """Return a graph of one use of an operator, on images of 7×6 pixels and 4 channels."""
    builder = Builder((7, 6, 4), 1 + list(_SINGLE).index(name))
    return builder.alone(_SINGLE[name](builder, builder.flip(0, signed=True)))


def singles() -> dict[str, Graph]:
    return {name: single(name) for name in _SINGLE}


def noise(graph: Graph, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return random bytes (count, size) of the input; the first image is black, the next white."""
    size = graph.values[graph.input].size
    images = np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)
    images[0], images[1] = 0, 255
    return images
