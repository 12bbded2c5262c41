"""Integer graphs of random numbers, one for every operator and use: the zoo of the tests."""

from __future__ import annotations

import math

import numpy as np

from edge_mnist import int8
from edge_mnist.int8 import Graph, Operator, Value, Window

SHAPE = (7, 6, 4)


class Builder:
    """Adds operators one after the other; `value` is the last one's output."""

    def __init__(self, seed: int, shape: tuple[int, int, int] = SHAPE, zero_point: int = -3):
        self.rng = np.random.default_rng(seed)
        self.values = [Value(math.prod(shape), 0.05, zero_point)]
        self.operators: list[Operator] = []
        self.shape, self.value = shape, 0

    @property
    def zero_point(self) -> int:
        return self.values[self.value].zero_point

    def _new(self, shape: tuple[int, int, int], zero_point: int) -> int:
        self.values.append(Value(math.prod(shape), 0.05, zero_point))
        self.shape, self.value = shape, len(self.values) - 1
        return self.value

    def _output_shape(self, window: Window, channels: int, same: bool) -> tuple[int, int, int]:
        sides = []
        for axis in (0, 1):
            reach = (window.size[axis] - 1) * window.dilations[axis] + 1
            extent = self.shape[axis] if same else self.shape[axis] - reach + 1
            sides.append(-(-extent // window.strides[axis]))
        return sides[0], sides[1], channels

    def weighted(
        self,
        window: Window,
        channels: int,
        *,
        same: bool = False,
        depthwise: bool = False,
        limits: tuple[int, int] = (-128, 127),
        largest: int = 127,
    ) -> Builder:
        source, before, zero_point = self.value, self.shape, self.zero_point
        shape = self._output_shape(window, channels, same)
        sizes = (*window.size, channels) if depthwise else (channels, *window.size, before[2])
        weights = self.rng.integers(-largest, largest + 1, sizes).astype(np.int8)
        terms = math.prod(window.size) * (1 if depthwise else before[2])
        spread = 128 * largest * math.sqrt(terms) / 3
        multipliers = self.rng.uniform(20, 200, channels) / spread
        kind = int8.DepthwiseConvolution if depthwise else int8.Convolution
        new_zero_point = int(self.rng.integers(-128, 100))
        op = kind(
            source,
            self._new(shape, new_zero_point),
            before,
            shape,
            window,
            weights,
            self.rng.integers(-9999, 10000, channels).astype(np.int32),
            multipliers.astype(np.float32),
            zero_point,
            new_zero_point,
            *limits,
        )
        self.operators.append(op)
        return self

    def pool(self, window: Window, *, average: bool, same: bool = False) -> Builder:
        source, before, zero_point = self.value, self.shape, self.zero_point
        shape = self._output_shape(window, before[2], same)
        self.operators.append(
            int8.Pool(
                source, self._new(shape, zero_point), before, shape, window, average, -120, 127
            )
        )
        return self

    def pad(self, before: tuple[int, int, int], after: tuple[int, int, int]) -> Builder:
        source, old, zero_point = self.value, self.shape, self.zero_point
        sides = [sum(sizes) for sizes in zip(before, old, after, strict=True)]
        shape = (sides[0], sides[1], sides[2])
        new = self._new(shape, zero_point)
        self.operators.append(int8.Pad(source, new, old, shape, before, zero_point))
        return self

    def mean(self, multiplier: float = 0.013) -> Builder:
        source, before, zero_point = self.value, self.shape, self.zero_point
        new = self._new((1, 1, before[2]), 11)
        self.operators.append(
            int8.Mean(source, new, before, float(np.float32(multiplier)), zero_point, 11)
        )
        return self

    def table(self) -> Builder:
        source, shape = self.value, self.shape
        bytes = self.rng.integers(0, 256, 256).astype(np.uint8)
        self.operators.append(int8.Table(source, self._new(shape, 5), bytes))
        return self

    def add(self, other: int, limits: tuple[int, int] = (-100, 127)) -> Builder:
        source, shape, points = self.value, self.shape, (self.zero_point, 0)
        points = self.zero_point, self.values[other].zero_point
        op = int8.Add(
            (source, other),
            self._new(shape, -20),
            shape,
            (1_100_000, 630_007),
            21,
            points,
            -20,
            *limits,
        )
        self.operators.append(op)
        return self

    def multiply(self, other: int) -> Builder:
        source, shape = self.value, self.shape
        points = self.zero_point, self.values[other].zero_point
        multiplier = float(np.float32(0.0071))
        new = self._new(shape, 4)
        self.operators.append(
            int8.Multiply((source, other), new, shape, multiplier, points, 4, -128, 127)
        )
        return self

    def softmax(self, scale: float = 0.13) -> Builder:
        source, classes = self.value, math.prod(self.shape)
        table = np.array([math.exp(-scale * i) for i in range(256)], np.float32)
        self.values.append(Value(classes, 1 / 256, -128))
        self.operators.append(int8.Softmax(source, len(self.values) - 1, classes, table))
        self.value = len(self.values) - 1
        return self

    def graph(self) -> Graph:
        shape = self.operators[0]
        first = getattr(shape, "input_shape", SHAPE)
        return Graph(tuple(self.values), tuple(self.operators), 0, self.value, first)


def zoo() -> dict[str, Graph]:
    """Return a graph of each kind, by its name."""
    square, tall = Window((3, 3)), Window((4, 2), (2, 1))
    dilated, strided = Window((2, 3), (1, 1), (0, 0), (2, 2)), Window((3, 3), (2, 2), (1, 0))
    padded = Window((3, 3), (1, 1), (1, 1))
    residual = Builder(20).weighted(padded, 4, same=True)
    inner = residual.value
    residual.weighted(padded, 4, same=True).add(inner).weighted(square, 5)
    gated = Builder(21).weighted(padded, 4, same=True)
    gate = gated.value
    gated.table().multiply(gate).weighted(square, 3)
    return {
        "convolution": Builder(1).weighted(square, 5).graph(),
        "strides": Builder(2).weighted(tall, 5).graph(),
        "padding": Builder(3).weighted(padded, 5, same=True).graph(),
        "padding and strides": Builder(4).weighted(strided, 5, same=True).graph(),
        "dilations": Builder(5).weighted(dilated, 5).graph(),
        "relu": Builder(6).weighted(square, 5, limits=(-40, 60)).graph(),
        "two padded": Builder(7)
        .weighted(padded, 6, same=True)
        .weighted(padded, 3, same=True)
        .graph(),
        "depthwise": Builder(8).weighted(square, 4, depthwise=True).graph(),
        "depthwise of two": Builder(9).weighted(padded, 8, same=True, depthwise=True).graph(),
        "separable": Builder(10)
        .weighted(padded, 4, same=True, depthwise=True)
        .weighted(Window((1, 1)), 6)
        .graph(),
        "max pool": Builder(11).pool(Window((2, 2), (2, 2)), average=False).graph(),
        "max pool padded": Builder(12).pool(strided, average=False, same=True).graph(),
        "average pool": Builder(13).pool(Window((2, 3), (2, 2)), average=True).graph(),
        "average pool padded": Builder(14).pool(strided, average=True, same=True).graph(),
        "mean": Builder(15).mean().graph(),
        "pad": Builder(16).pad((1, 2, 0), (0, 1, 0)).weighted(square, 3).graph(),
        "pad channels": Builder(17).pad((0, 0, 1), (0, 0, 2)).graph(),
        "table": Builder(18).table().graph(),
        "softmax": Builder(19, (1, 1, 10)).softmax().graph(),
        "residual": residual.graph(),
        "gated": gated.graph(),
        "dense": Builder(22).weighted(Window(SHAPE[:2]), 10).softmax().graph(),
        # Sums above 2^24, which float32 does not hold.
        "large sums": Builder(23, (1, 1, 4000), 127).weighted(Window((1, 1)), 3).graph(),
    }


def images(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    """Return random values (count, size) int8; among them both ends of the range alone."""
    rng = np.random.default_rng(seed)
    size = graph.values[graph.input].size
    values = rng.integers(-128, 128, (count, size)).astype(np.int8)
    values[0], values[1] = -128, 127
    return values
