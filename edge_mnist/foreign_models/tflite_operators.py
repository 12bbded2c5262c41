"""Which operators of a `.tflite` file are known to be harmless, and which cannot be meant.

The kernels check some of what they are given. What they do not check ends the process: a missing
input is a null pointer, a stride of 0 a division by zero, a scale of 0 a failed assertion. For
the operators of ordinary image classifiers all of it can be looked at beforehand, as their
output's shape, type and quantization follow from their inputs'. Of any other operator, or of
these in unusual use, nothing is promised here: `harmless` is False, and `_quarantine` tries it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from .malformed import Malformed

if TYPE_CHECKING:
    from .tflite_check import Operator, Tensor

    Known = Callable[[Operator, tuple[Tensor, ...], Tensor], bool]

FLOAT32, FLOAT16, INT32, UINT8, INT8 = 0, 1, 2, 3, 9
_EIGHT_BITS = (UINT8, INT8)
_SAME, _VALID = 0, 1
_TRANSPOSE_CONV = 67
# More multiply-adds than these take a Raspberry Pi some ten seconds an image.
_MOST_WORK = 20_000_000_000
# Scales of real models lie well inside; beyond, a fixed-point multiplier overflows.
_LEAST_SCALE, _MOST_SCALE = 1e-9, 1e6


def harmless(operator: Operator) -> bool:
    """Whether an operator is a common one, in its common use.

    Raises:
        Malformed: it is a common one in a use that no runtime survives.
    """
    _check_options(operator)
    _check_transposed(operator)
    entry = _KNOWN.get(operator.code)
    if entry is None or len(operator.outputs) != 1 or not operator.inputs:
        return False
    least, most, options_type, known = entry
    given = tuple(tensor for tensor in operator.inputs if tensor is not None)
    # Only a bias may be left out, and it comes last.
    whole = operator.inputs[: len(given)] == given
    output = operator.outputs[0]
    if not whole or not least <= len(given) <= most or operator.options_type not in options_type:
        return False
    if output.variable or output.constant or not output.elements:
        return False
    return all(map(_scaled, (*given, output))) and known(operator, given, output)


def _check_options(operator: Operator) -> None:
    """Refuse strides, windows and dilations of 0: they divide."""
    fields = _DIVISORS.get(operator.options_type, ())
    for field in fields:
        # Schema defaults: strides and windows 0, dilations and the depth multiplier as listed.
        if operator.option(*field) < 1:
            raise Malformed(f"a stride, window or dilation of {operator.option(*field)}")


def _check_transposed(operator: Operator) -> None:
    """Refuse a transposed convolution whose output is of another size than its input makes.

    tflite-runtime 2.14 writes past the end then, which often enough goes well once: no trial
    tells. LiteRT looks.
    """
    if operator.code != _TRANSPOSE_CONV or len(operator.inputs) < 3:
        return
    sizes, kernel, image = operator.inputs[:3]
    if sizes is None or kernel is None or image is None or sizes.integers is None:
        return
    output = sizes.integers
    if len(output) != 4 or len(kernel.shape) != 4 or len(image.shape) != 4:
        raise Malformed("a transposed convolution of other than four axes")
    # It is the convolution that would make the input of the output.
    expected = (output[0], *_window(operator, output, kernel.shape[1:3]), kernel.shape[3])
    if expected != image.shape or output[3] != kernel.shape[0] or min(output) < 1:
        raise Malformed(f"a transposed convolution of {image.shape} to {output}")


# BuiltinOptions' number: the fields that must be positive, with format and default.
_STRIDES = ((1, "i", 0), (2, "i", 0))
_DIVISORS: dict[int, tuple[tuple[int, str, int], ...]] = {
    1: (*_STRIDES, (4, "i", 1), (5, "i", 1)),
    2: (*_STRIDES, (5, "i", 1), (6, "i", 1)),
    5: (*_STRIDES, (3, "i", 0), (4, "i", 0)),
    49: _STRIDES,
}


def _scaled(tensor: Tensor) -> bool:
    """Whether a tensor has the scales that its type needs."""
    if tensor.type not in _EIGHT_BITS:
        return not tensor.scales or tensor.type == INT32
    fit = all(_LEAST_SCALE <= scale <= _MOST_SCALE for scale in tensor.scales)
    return bool(tensor.scales) and len(tensor.zero_points) == len(tensor.scales) and fit


def _conv(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    image, kernel = given[:2]
    if not len(image.shape) == len(kernel.shape) == len(output.shape) == 4:
        return False
    channels, height, width, depth = kernel.shape
    sizes = _window(operator, image.shape, (height, width), dilations=(4, 5))
    work = math.prod(output.shape) * height * width * depth
    return (
        depth == image.shape[3]
        and output.shape == (image.shape[0], *sizes, channels)
        and work <= _MOST_WORK
        and _activation(operator, 3)
        and _weighted(given, output, channels, 0)
    )


def _depthwise(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    image, kernel = given[:2]
    if not len(image.shape) == len(kernel.shape) == len(output.shape) == 4:
        return False
    one, height, width, channels = kernel.shape
    sizes = _window(operator, image.shape, (height, width), dilations=(5, 6))
    return (
        one == 1
        and operator.option(3, "i") * image.shape[3] == channels
        and output.shape == (image.shape[0], *sizes, channels)
        and math.prod(output.shape) * height * width <= _MOST_WORK
        and _activation(operator, 4)
        and _weighted(given, output, channels, 3)
    )


def _pool(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    image = given[0]
    if len(image.shape) != 4 or operator.options is None:
        return False
    window = operator.option(4, "i"), operator.option(3, "i")
    sizes = _window(operator, image.shape, window)
    return (
        # A window larger than the image, with padding on both sides, was never tried.
        window[0] <= image.shape[1]
        and window[1] <= image.shape[2]
        and output.shape == (image.shape[0], *sizes, image.shape[3])
        and math.prod(output.shape) * math.prod(window) <= _MOST_WORK
        and _activation(operator, 5)
        and _alike(image, output)
    )


def _window(
    operator: Operator,
    image: tuple[int, ...],
    window: tuple[int, ...],
    *,
    dilations: tuple[int, int] | None = None,
) -> tuple[int, ...]:
    """Return the height and width that a window makes of an image; () where it makes none.

    SAME: ceil(size / stride). VALID: ceil((size - (window - 1) * dilation) / stride).
    """
    if operator.options is None:
        return ()
    # The options hold the width first, and `dilations` are their fields in that order.
    strides = operator.option(2, "i"), operator.option(1, "i")
    wide = [operator.option(field, "i", 1) for field in reversed(dilations or ())] or [1, 1]
    padding = operator.option(0, "b")
    if padding not in (_SAME, _VALID) or max(*strides, *wide, *window) > 4096:
        return ()
    spans = zip(image[1:3], window, wide, strides, strict=True)
    return tuple(
        -(-(size - (side - 1) * dilation if padding == _VALID else size) // stride)
        for size, side, dilation, stride in spans
    )


def _dense(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    values, weights = given[:2]
    if len(weights.shape) != 2 or not output.shape or operator.options is None:
        return False
    units, depth = weights.shape
    # Without `keep_num_dims` what comes before the last axis is one batch.
    rows = values.elements // depth if depth else 0
    shapes = (rows, units), (*values.shape[:-1], units)
    return (
        rows * depth == values.elements
        and bool(values.shape)
        and values.shape[-1] == depth
        and output.shape == shapes[bool(operator.option(2, "B"))]
        and operator.option(1, "b") == 0
        and output.elements * depth <= _MOST_WORK
        and _activation(operator, 0)
        and _weighted(given, output, units, 0)
    )


def _weighted(given: tuple[Tensor, ...], output: Tensor, channels: int, dimension: int) -> bool:
    """Whether input, weights, bias and output are of types and scales that go together."""
    values, weights = given[:2]
    bias = given[2] if len(given) > 2 else None
    if bias is not None and bias.shape != (channels,):
        return False
    kinds = values.type, weights.type, output.type
    floats = kinds in ((FLOAT32, FLOAT32, FLOAT32), (FLOAT32, INT8, FLOAT32))
    integers = kinds in ((INT8, INT8, INT8), (UINT8, UINT8, UINT8))
    bias_type = FLOAT32 if floats else INT32
    many = len(weights.scales) > 1
    return (
        (floats or integers)
        and (bias is None or bias.type == bias_type)
        and (not many or (weights.dimension == dimension and len(weights.scales) == channels))
        and (not many or weights.type == INT8)
        # Of a float image, weights of 8 bits are there to be unpacked: their zero point is 0.
        and (weights.type != INT8 or not any(weights.zero_points))
        and (weights.type == FLOAT32 or weights.constant)
        and (floats or (len(values.scales) == len(output.scales) == 1))
    )


def _activation(operator: Operator, field: int) -> bool:
    return operator.option(field, "b") in (0, 1, 2, 3)


def _alike(given: Tensor, output: Tensor) -> bool:
    """Whether values go on in the same type, float or of one and the same scale."""
    same = given.type == output.type and given.type in (FLOAT32, *_EIGHT_BITS)
    quantization = given.scales, given.zero_points
    return same and quantization == (output.scales, output.zero_points) and len(output.scales) < 2


def _reshape(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    values = given[0]
    if len(given) == 1 or values.elements != output.elements or not _alike(values, output):
        return False
    wanted = given[1].integers
    if wanted is None or given[1].shape != (len(output.shape),) or wanted.count(-1) > 1:
        return False
    pairs = zip(wanted, output.shape, strict=True)
    return all(size in (-1, now) for size, now in pairs)


def _softmax(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    values = given[0]
    beta = 0.0 if operator.options is None else operator.options.real(0)
    if values.type in _EIGHT_BITS:
        least = {UINT8: 0, INT8: -128}[values.type]
        if output.scales != (1 / 256,) or output.zero_points != (least,):
            return False
    return (
        values.type == output.type
        and values.type in (FLOAT32, *_EIGHT_BITS)
        and values.shape == output.shape
        and 1 <= len(values.shape) <= 4
        and 1e-3 <= beta <= 1e3
        and len(values.scales) == len(output.scales)
    )


def _requantize(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    values = given[0]
    fit = values.type in (FLOAT32, *_EIGHT_BITS) and output.type in _EIGHT_BITS
    alike = values.shape == output.shape and len(output.scales) == 1 and len(values.scales) <= 1
    ratio = values.scales[0] / output.scales[0] if fit and alike and values.scales else 1.0
    return fit and alike and 2**-8 <= ratio <= 2**7


def _dequantize(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    values = given[0]
    fit = values.type in (FLOAT16, *_EIGHT_BITS) and output.type == FLOAT32
    return fit and values.shape == output.shape and len(values.scales) <= 1


def _unary(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    both = (given[0].type, output.type) == (FLOAT32, FLOAT32)
    return both and given[0].shape == output.shape


def _binary(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    if any(tensor.type != FLOAT32 for tensor in (*given, output)):
        return False
    broadcast = _broadcast(given[0].shape, given[1].shape, output.shape)
    return _activation(operator, 0) and len(output.shape) <= 4 and broadcast


def _broadcast(a: tuple[int, ...], b: tuple[int, ...], output: tuple[int, ...]) -> bool:
    rank = len(output)
    if max(len(a), len(b)) != rank:
        return False
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    rows = zip(a, b, output, strict=True)
    return all(max(x, y) == size and min(x, y) in (1, size) for x, y, size in rows)


def _pad(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    values, rank = given[0], len(given[0].shape)
    pads = given[1].integers
    if pads is None or given[1].shape != (rank, 2) or not 1 <= rank <= 4 or min(pads) < 0:
        return False
    sizes = zip(values.shape, pads[::2], pads[1::2], strict=True)
    return output.shape == tuple(map(sum, sizes)) and _alike(values, output)


def _mean(operator: Operator, given: tuple[Tensor, ...], output: Tensor) -> bool:
    values, axes = given[0], given[1].integers
    if axes is None or len(given[1].shape) != 1 or len(values.shape) > 4:
        return False
    rank = len(values.shape)
    if (values.type, output.type) != (FLOAT32, FLOAT32) or not values.elements:
        return False
    gone = {axis % rank for axis in axes} if rank and all(-rank <= a < rank for a in axes) else None
    if gone is None or len(gone) != len(axes):
        return False
    keep = bool(operator.option(0, "B"))
    left = [1 if axis in gone else size for axis, size in enumerate(values.shape)]
    kept = left if keep else [size for axis, size in enumerate(values.shape) if axis not in gone]
    return output.shape == tuple(kept)


# BuiltinOperator: (fewest inputs, most, what BuiltinOptions it may have, the check).
_KNOWN: dict[int, tuple[int, int, tuple[int, ...], Known]] = {
    0: (2, 2, (0, 11), _binary),  # ADD
    1: (1, 1, (5,), _pool),  # AVERAGE_POOL_2D
    3: (2, 3, (1,), _conv),  # CONV_2D
    4: (3, 3, (2,), _depthwise),  # DEPTHWISE_CONV_2D
    6: (1, 1, (0, 38), _dequantize),  # DEQUANTIZE
    9: (2, 3, (8,), _dense),  # FULLY_CONNECTED
    14: (1, 1, (0,), _unary),  # LOGISTIC
    17: (1, 1, (5,), _pool),  # MAX_POOL_2D
    18: (2, 2, (0, 21), _binary),  # MUL
    19: (1, 1, (0,), _unary),  # RELU
    21: (1, 1, (0,), _unary),  # RELU6
    22: (2, 2, (0, 17), _reshape),  # RESHAPE
    25: (1, 1, (9,), _softmax),  # SOFTMAX
    28: (1, 1, (0,), _unary),  # TANH
    34: (2, 2, (0, 22), _pad),  # PAD
    40: (2, 2, (0, 27), _mean),  # MEAN
    41: (2, 2, (0, 28), _binary),  # SUB
    42: (2, 2, (0, 29), _binary),  # DIV
    114: (1, 1, (0, 89), _requantize),  # QUANTIZE
}
