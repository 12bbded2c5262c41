"""The integer arithmetic once more, one number at a time, as docs/explanation/arithmetic.md says.

It shares no code with the package. float32 is numpy's scalar; everything else is Python's integer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_mnist import int8
from edge_mnist.int8 import Graph, Window

Image = dict[tuple[int, int, int], int]


def run(graph: Graph, pixels: list[int]) -> list[int]:
    """Return the output's values for one image's values, in the order of the file."""
    values: dict[int, list[int]] = {graph.input: pixels}
    for op in graph.operators:
        sources = op.inputs if isinstance(op, int8.Add | int8.Multiply) else (op.input,)
        values[op.output] = _OPERATORS[type(op)](op, *(values[index] for index in sources))
        if isinstance(op, int8.Table) and not graph.values[op.output].signed:
            values[op.output] = [value % 256 for value in values[op.output]]
    return values[graph.output]


def rounded(value: np.float32) -> int:
    """Round to the nearest integer, ties to even, as Python's `round` does."""
    return round(float(value))


def clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def requantized(acc: int, multiplier: Any, zero_point: int, low: int, high: int) -> int:
    product = np.float32(acc) * np.float32(multiplier)
    return clip(rounded(product) + zero_point, low, high)


def image(values: list[int], shape: tuple[int, int, int]) -> Image:
    height, width, depth = shape
    assert len(values) == height * width * depth
    return {
        (y, x, c): values[(y * width + x) * depth + c]
        for y in range(height)
        for x in range(width)
        for c in range(depth)
    }


def seen(window: Window, y: int, x: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (row in the window, column in the window, row in the image, column in the image)."""
    for i in range(window.size[0]):
        for j in range(window.size[1]):
            row = y * window.strides[0] - window.padding[0] + i * window.dilations[0]
            column = x * window.strides[1] - window.padding[1] + j * window.dilations[1]
            yield i, j, row, column


def places(shape: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
    for y in range(shape[0]):
        for x in range(shape[1]):
            for c in range(shape[2]):
                yield y, x, c


def convolution(op: Any, values: list[int]) -> list[int]:
    pixels, result = image(values, op.input_shape), []
    for y, x, o in places(op.output_shape):
        acc = int(op.bias[o])
        for i, j, row, column in seen(op.window, y, x):
            for c in range(op.input_shape[2]):
                value = pixels.get((row, column, c), op.input_zero_point)
                acc += (value - op.input_zero_point) * int(op.weights[o, i, j, c])
        multiplier = op.multipliers[o]
        result.append(requantized(acc, multiplier, op.output_zero_point, op.low, op.high))
    return result


def depthwise(op: Any, values: list[int]) -> list[int]:
    pixels, result = image(values, op.input_shape), []
    each = op.output_shape[2] // op.input_shape[2]
    for y, x, o in places(op.output_shape):
        acc = int(op.bias[o])
        for i, j, row, column in seen(op.window, y, x):
            value = pixels.get((row, column, o // each), op.input_zero_point)
            acc += (value - op.input_zero_point) * int(op.weights[i, j, o])
        multiplier = op.multipliers[o]
        result.append(requantized(acc, multiplier, op.output_zero_point, op.low, op.high))
    return result


def add(op: Any, first: list[int], second: list[int]) -> list[int]:
    (m1, m2), (z1, z2) = op.multipliers, op.zero_points
    half = 1 << (op.shift - 1)
    sums = [m1 * (a - z1) + m2 * (b - z2) + half for a, b in zip(first, second, strict=True)]
    assert all(-(2**31) <= total < 2**31 for total in sums)
    return [clip((s >> op.shift) + op.output_zero_point, op.low, op.high) for s in sums]


def multiply(op: Any, first: list[int], second: list[int]) -> list[int]:
    z1, z2 = op.zero_points
    return [
        requantized((a - z1) * (b - z2), op.multiplier, op.output_zero_point, op.low, op.high)
        for a, b in zip(first, second, strict=True)
    ]


def pool(op: Any, values: list[int]) -> list[int]:
    pixels, result = image(values, op.input_shape), []
    for y, x, c in places(op.output_shape):
        window = [
            pixels[row, column, c]
            for _, _, row, column in seen(op.window, y, x)
            if (row, column, c) in pixels
        ]
        if op.average:
            total, count = sum(window), len(window)
            mean = (abs(total) + count // 2) // count
            value = mean if total >= 0 else -mean
        else:
            value = max(window)
        result.append(clip(value, op.low, op.high))
    return result


def mean(op: Any, values: list[int]) -> list[int]:
    pixels = image(values, op.input_shape)
    height, width, depth = op.input_shape
    return [
        requantized(
            sum(pixels[y, x, c] - op.input_zero_point for y in range(height) for x in range(width)),
            op.multiplier,
            op.output_zero_point,
            -128,
            127,
        )
        for c in range(depth)
    ]


def pad(op: Any, values: list[int]) -> list[int]:
    pixels = image(values, op.input_shape)
    top, left, front = op.before
    return [
        pixels.get((y - top, x - left, c - front), op.zero_point)
        for y, x, c in places(op.output_shape)
    ]


def table(op: Any, values: list[int]) -> list[int]:
    """Return int8."""
    return [int(np.uint8(op.bytes[value % 256]).view(np.int8)) for value in values]


def softmax(op: Any, values: list[int]) -> list[int]:
    exponentials = [op.exponentials[max(values) - value] for value in values]
    total = np.float32(0)
    for exponential in exponentials:
        total = total + exponential
    factor = np.float32(256) / total
    return [clip(rounded(e * factor) - 128, -128, 127) for e in exponentials]


_OPERATORS: dict[Any, Any] = {
    int8.Convolution: convolution,
    int8.DepthwiseConvolution: depthwise,
    int8.Add: add,
    int8.Multiply: multiply,
    int8.Pool: pool,
    int8.Mean: mean,
    int8.Pad: pad,
    int8.Table: table,
    int8.Softmax: softmax,
}
