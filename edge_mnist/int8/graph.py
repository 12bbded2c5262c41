"""The operators of a full int8 model, with every number that their arithmetic needs.

A value `q` is one byte, int8 or uint8, and stands for `scale * (q - zero_point)`. Arrays are one
image: (height, width, channels), channels last. `rint` rounds to the nearest integer, ties to
even. float32 operations round once each, as IEEE 754 says. An accumulator is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Value:
    """The bytes between two operators.

    Attributes:
        size: the number of bytes of one image.
        scale: the step.
        zero_point: the byte that stands for 0.
        signed: int8 if true, uint8 otherwise.
    """

    size: int
    scale: float
    zero_point: int
    signed: bool = True


class Window(NamedTuple):
    """A window that slides over an image; every pair is (vertical, horizontal), in pixels.

    Output (y, x) sees the rows `y * strides[0] - padding[0] + i * dilations[0]`, and the columns
    alike. Pixels outside of the image are the zero point in a convolution, and do not count in a
    pool.
    """

    size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Weighted:
    """An operator with weights; each kind states their shape."""

    input: int
    output: int
    input_shape: Shape
    output_shape: Shape
    window: Window
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    multipliers: NDArray[np.float32]
    input_zero_point: int
    output_zero_point: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, eq=False)
class Convolution(_Weighted):
    """A convolution; a dense layer is one whose window is a single pixel.

    `acc[o] = bias[o] + sum((input - input_zero_point) * weights[o])`, then
    `output[o] = clip(rint(float32(acc[o]) * multipliers[o]) + output_zero_point, low, high)`.

    Attributes:
        weights: (out, height, width, in) int8.
        bias: (out,) int32.
        multipliers: (out,) float32: input scale times weight scale by output scale.
        low: the least output, of the type or of a fused activation.
        high: the greatest output.
    """


@dataclass(frozen=True, slots=True, eq=False)
class DepthwiseConvolution(_Weighted):
    """A convolution of each input channel by itself; otherwise as `Convolution`.

    Attributes:
        weights: (height, width, out) int8; output channel `o` sees input channel
            `o // (out / in)`.
    """


@dataclass(frozen=True, slots=True)
class Add:
    """The sum of two images of one shape, in 32-bit integers.

    `acc = sum(multipliers[k] * (inputs[k] - zero_points[k])) + 2^(shift - 1)`, then
    `output = clip((acc >> shift) + output_zero_point, low, high)`; `>>` rounds down.
    """

    inputs: tuple[int, int]
    output: int
    shape: Shape
    multipliers: tuple[int, int]
    shift: int
    zero_points: tuple[int, int]
    output_zero_point: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Multiply:
    """The product of two images of one shape.

    `acc = product(inputs[k] - zero_points[k])`, then
    `output = clip(rint(float32(acc) * multiplier) + output_zero_point, low, high)`.

    Attributes:
        multiplier: a float32 number.
    """

    inputs: tuple[int, int]
    output: int
    shape: Shape
    multiplier: float
    zero_points: tuple[int, int]
    output_zero_point: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Pool:
    """The greatest value in a window, or the mean; input and output have one quantization.

    The mean of `n` pixels is `sum / n`, rounded to the nearest integer, ties away from 0. Then
    `output = clip(…, low, high)`.

    Attributes:
        average: whether it is the mean.
    """

    input: int
    output: int
    input_shape: Shape
    output_shape: Shape
    window: Window
    average: bool
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of each channel over the whole image, in another quantization.

    `acc = sum(input - input_zero_point)`, then
    `output = clip(rint(float32(acc) * multiplier) + output_zero_point, -128, 127)`.

    Attributes:
        multiplier: a float32 number: input scale by output scale and number of pixels.
    """

    input: int
    output: int
    input_shape: Shape
    multiplier: float
    input_zero_point: int
    output_zero_point: int


@dataclass(frozen=True, slots=True)
class Pad:
    """An image with a border of the zero point.

    Attributes:
        before: (top, left, channels) in pixels; what is left of the output's shape comes after.
    """

    input: int
    output: int
    input_shape: Shape
    output_shape: Shape
    before: tuple[int, int, int]
    zero_point: int


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A function of one value: another quantization, or an activation.

    Attributes:
        bytes: (256,) uint8: the output's byte by the input's byte, both as unsigned.
    """

    input: int
    output: int
    bytes: NDArray[np.uint8]

    @property
    def flips_sign(self) -> bool:
        """Whether it only turns uint8 into int8 of the same meaning, or back."""
        return all(byte == index ^ 128 for index, byte in enumerate(self.bytes.tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """Probabilities of a row; the output's scale is 1/256, its zero point -128.

    `e[c] = exponentials[max(input) - input[c]]`, and `total` is the float32 sum of `e` in the
    order of the channels. Then `output[c] = clip(rint(e[c] * (256 / total)) - 128, -128, 127)`;
    the division and the product are float32 operations.

    Attributes:
        exponentials: (256,) float32: `exp(-beta * scale * i)`.
    """

    input: int
    output: int
    classes: int
    exponentials: NDArray[np.float32]


Operator = Convolution | DepthwiseConvolution | Add | Multiply | Pool | Mean | Pad | Table | Softmax


@dataclass(frozen=True, slots=True)
class Graph:
    """A model of one input and one output.

    A reshape moves no byte: its input and its output are one value.

    Attributes:
        values: what the operators read and write, by their indices.
        operators: in the order in which they run.
        input_shape: (height, width, channels) or another shape of one image, as in the file.
    """

    values: tuple[Value, ...]
    operators: tuple[Operator, ...]
    input: int
    output: int
    input_shape: tuple[int, ...]

    @property
    def multiply_adds(self) -> int:
        """The multiplications of weights, for one image."""
        total = 0
        for operator in self.operators:
            if isinstance(operator, Convolution | DepthwiseConvolution):
                pixels = math.prod(operator.output_shape[:2])
                total += pixels * operator.weights.size
        return total
