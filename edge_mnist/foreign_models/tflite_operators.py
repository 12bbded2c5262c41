"""Rules that say which operators of a `.tflite` file are known to be safe.

The kernels check some of their arguments. What they do not check ends the process: a missing
input is a null pointer, a stride of 0 a division by zero, a scale of 0 a failed assertion. For the
operators of common image classifiers all of it follows from shapes, types and quantization.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..model_files.malformed import Malformed
from ..model_files.tflite_file import Operator, Tensor

Tensors = tuple[Tensor, ...]
Rule = Callable[[Operator, Tensors, Tensor], bool]

# TensorType's numbers.
FLOAT32, FLOAT16, INT32, UINT8, INT8 = 0, 1, 2, 3, 9
_LIMITS = {UINT8: (0, 255), INT8: (-128, 127)}
_SAME, _VALID = 0, 1
_LOGISTIC, _TANH, _TRANSPOSE_CONV = 14, 28, 67
# Multiply-adds of one operator; a Raspberry Pi takes about ten seconds for them.
_MOST_WORK = 20_000_000_000
# Upper bound on strides, dilations and windows, in pixels.
_LARGEST_WINDOW = 4096
# Outside of these bounds a fixed-point multiplier of the runtime overflows. Scales of real models
# lie far inside.
_LEAST_SCALE, _MOST_SCALE = 1e-9, 1e6


def is_known_safe(operator: Operator) -> bool:
    """Return whether an operator is a common one, in its common use."""
    if operator.code not in _RULES or len(operator.outputs) != 1 or not operator.inputs:
        return False
    least, most, options_types, rule = _RULES[operator.code]
    inputs = tuple(tensor for tensor in operator.inputs if tensor is not None)
    output = operator.outputs[0]
    return (
        # Only the last input, a bias, may be left out.
        operator.inputs[: len(inputs)] == inputs
        and least <= len(inputs) <= most
        and operator.options_type in options_types
        and not output.variable
        and output.elements > 0
        and all(map(_has_usual_scales, (*inputs, output)))
        and rule(operator, inputs, output)
    )


def check_transposed_convolution(operator: Operator) -> None:
    """Refuse a transposed convolution whose output has another size than its input makes.

    tflite-runtime 2.14 then writes past the end of the output, which may do no harm in a trial.
    LiteRT refuses it.
    """
    if operator.code != _TRANSPOSE_CONV or None in operator.inputs[:3] or len(operator.inputs) < 3:
        return
    sizes, kernel, image = (tensor for tensor in operator.inputs[:3] if tensor)
    if (shape := sizes.integers) is None:
        return
    if not len(shape) == len(kernel.shape) == len(image.shape) == 4:
        raise Malformed("a transposed convolution of other than four axes")
    # A convolution of the output would make the input.
    expected = (shape[0], *_window(operator, shape, kernel.shape[1:3]), kernel.shape[3])
    if expected != image.shape or shape[3] != kernel.shape[0] or min(shape) < 1:
        raise Malformed(f"a transposed convolution of {image.shape} to {shape}")


def _has_usual_scales(tensor: Tensor) -> bool:
    """Return whether a tensor has the scales and zero points that its type needs."""
    if tensor.type not in _LIMITS:
        return not tensor.scales or tensor.type == INT32
    low, high = _LIMITS[tensor.type]
    return (
        0 < len(tensor.scales) == len(tensor.zero_points)
        and all(_LEAST_SCALE <= scale <= _MOST_SCALE for scale in tensor.scales)
        and all(low <= zero_point <= high for zero_point in tensor.zero_points)
    )


def _convolution(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    image, kernel = inputs[:2]
    if not len(image.shape) == len(kernel.shape) == len(output.shape) == 4:
        return False
    channels, height, width, depth = kernel.shape
    sizes = _window(operator, image.shape, (height, width), dilations=(4, 5))
    return (
        depth == image.shape[3]
        and output.shape == (image.shape[0], *sizes, channels)
        and output.elements * height * width * depth <= _MOST_WORK
        and _has_usual_activation(operator, 3)
        and _has_usual_weights(inputs, output, channels, 0)
    )


def _depthwise_convolution(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    image, kernel = inputs[:2]
    if not len(image.shape) == len(kernel.shape) == len(output.shape) == 4:
        return False
    batch, height, width, channels = kernel.shape
    sizes = _window(operator, image.shape, (height, width), dilations=(5, 6))
    return (
        batch == 1
        and operator.option(3, "i") * image.shape[3] == channels
        and output.shape == (image.shape[0], *sizes, channels)
        and output.elements * height * width <= _MOST_WORK
        and _has_usual_activation(operator, 4)
        and _has_usual_weights(inputs, output, channels, 3)
    )


def _pool(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    (image,) = inputs
    window = operator.option(4, "i"), operator.option(3, "i")
    if not len(image.shape) == len(output.shape) == 4:
        return False
    sizes = _window(operator, image.shape, window)
    return (
        # Windows larger than the image were not tested.
        window[0] <= image.shape[1]
        and window[1] <= image.shape[2]
        and output.shape == (image.shape[0], *sizes, image.shape[3])
        and output.elements * math.prod(window) <= _MOST_WORK
        and _has_usual_activation(operator, 5)
        and _is_same_kind(image, output)
    )


def _window(
    operator: Operator,
    image: tuple[int, ...],
    window: tuple[int, ...],
    *,
    dilations: tuple[int, int] | None = None,
) -> tuple[int, ...]:
    """Return the height and width of a window's output; () for a use that is not common.

    SAME: ceil(size / stride). VALID: ceil((size - (window - 1) * dilation) / stride).

    Args:
        image: the shape of the input (n, height, width, channels).
        window: height and width.
        dilations: the options' fields of the dilations, horizontal first as in the options.
    """
    strides = operator.option(2, "i"), operator.option(1, "i")
    spread = [operator.option(field, "i", 1) for field in reversed(dilations or ())] or [1, 1]
    padding, sizes = operator.option(0, "b"), (*strides, *spread, *window)
    if padding not in (_SAME, _VALID) or min(sizes) < 1 or max(sizes) > _LARGEST_WINDOW:
        return ()
    return tuple(
        -(-(size - (side - 1) * dilation if padding == _VALID else size) // stride)
        for size, side, dilation, stride in zip(image[1:3], window, spread, strides, strict=True)
    )


def _dense(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    values, weights = inputs[:2]
    if len(weights.shape) != 2 or not weights.elements or values.shape[-1:] != weights.shape[1:]:
        return False
    units, depth = weights.shape
    # Without `keep_num_dims` all axes but the last make one batch.
    keeps_shape = operator.option(2, "B")
    rows = values.shape[:-1] if keeps_shape else (values.elements // depth,)
    return (
        operator.options is not None
        and output.shape == (*rows, units)
        and operator.option(1, "b") == 0
        and output.elements * depth <= _MOST_WORK
        and _has_usual_activation(operator, 0)
        and _has_usual_weights(inputs, output, units, 0)
    )


def _has_usual_weights(inputs: Tensors, output: Tensor, channels: int, dimension: int) -> bool:
    """Return whether input, weights, bias and output have types and scales that go together."""
    values, weights, *biases = inputs
    types = values.type, weights.type, output.type
    floats = types in ((FLOAT32, FLOAT32, FLOAT32), (FLOAT32, INT8, FLOAT32))
    integers = types in ((INT8, INT8, INT8), (UINT8, UINT8, UINT8))
    bias_type = FLOAT32 if floats else INT32
    per_channel = len(weights.scales) > 1
    return (
        (floats or (integers and len(values.scales) == len(output.scales) == 1))
        and all(bias.shape == (channels,) and bias.type == bias_type for bias in biases)
        and (not per_channel or (weights.dimension, len(weights.scales)) == (dimension, channels))
        and (not per_channel or weights.type == INT8)
        and (weights.type != INT8 or not any(weights.zero_points))
        and (weights.type == FLOAT32 or weights.constant)
    )


def _has_usual_activation(operator: Operator, field: int) -> bool:
    """Return whether the fused activation is none, RELU, RELU_N1_TO_1 or RELU6."""
    return operator.option(field, "b") in (0, 1, 2, 3)


def _is_same_kind(values: Tensor, output: Tensor) -> bool:
    """Return whether both are float32, or 8-bit of one and the same quantization."""
    return (
        values.type == output.type
        and values.type in (FLOAT32, *_LIMITS)
        and (values.scales, values.zero_points) == (output.scales, output.zero_points)
        and len(output.scales) < 2
    )


def _reshape(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    values, sizes = inputs
    if operator.options is not None:
        operator.options.numbers(0, "i")  # The new shape once more: the offset must be right.
    return (
        values.elements == output.elements
        and _is_same_kind(values, output)
        and sizes.integers is not None
        and sizes.shape == (len(output.shape),)
        and sizes.integers.count(-1) <= 1
        and all(s in (-1, size) for s, size in zip(sizes.integers, output.shape, strict=True))
    )


def _softmax(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    (values,) = inputs
    beta = 0.0 if operator.options is None else operator.options.real(0)
    # The kernels of 8 bits write this one quantization, whatever the file says.
    fixed = output.type not in _LIMITS or (
        (output.scales, output.zero_points) == ((1 / 256,), (_LIMITS[output.type][0],))
    )
    return (
        fixed
        and values.type == output.type
        and values.type in (FLOAT32, *_LIMITS)
        and values.shape == output.shape
        and 1 <= len(values.shape) <= 4
        and 1e-3 <= beta <= 1e3
        and len(values.scales) == len(output.scales)
    )


def _quantize(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    (values,) = inputs
    return (
        values.type in (FLOAT32, *_LIMITS)
        and output.type in _LIMITS
        and values.shape == output.shape
        and len(output.scales) == 1 >= len(values.scales)
        and all(2**-8 <= scale / output.scales[0] <= 2**7 for scale in values.scales)
    )


def _dequantize(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    (values,) = inputs
    types = values.type in (FLOAT16, *_LIMITS) and output.type == FLOAT32
    return types and values.shape == output.shape and len(values.scales) <= 1


def _unary(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    return inputs[0].type == output.type == FLOAT32 and inputs[0].shape == output.shape


def _curve(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    """Return whether a sigmoid or tanh has floats, or the output quantization of the converter."""
    (values,) = inputs
    if output.type not in _LIMITS:
        return _unary(operator, inputs, output)
    low, high = _LIMITS[output.type]
    fixed = {_LOGISTIC: (1 / 256, low), _TANH: (1 / 128, (low + high + 1) // 2)}[operator.code]
    return (
        values.type == output.type
        and values.shape == output.shape
        and len(values.scales) == 1
        and (output.scales, output.zero_points) == ((fixed[0],), (fixed[1],))
    )


def _binary(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    rank = len(output.shape)
    a, b = (tensor.shape for tensor in inputs)
    if max(len(a), len(b)) != rank or rank > 4:
        return False
    axes = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, output.shape, strict=True)
    return (
        all(tensor.type == FLOAT32 for tensor in (*inputs, output))
        and _has_usual_activation(operator, 0)
        and all(max(x, y) == size and min(x, y) in (1, size) for x, y, size in axes)
    )


def _pad(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    values, paddings = inputs
    rank, pads = len(values.shape), paddings.integers
    if pads is None or paddings.shape != (rank, 2) or not 1 <= rank <= 4 or min(pads) < 0:
        return False
    sizes = zip(values.shape, pads[::2], pads[1::2], strict=True)
    return output.shape == tuple(map(sum, sizes)) and _is_same_kind(values, output)


def _mean(operator: Operator, inputs: Tensors, output: Tensor) -> bool:
    values, axes = inputs
    rank = len(values.shape)
    if axes.integers is None or len(axes.shape) != 1 or not 1 <= rank <= 4:
        return False
    reduced = {axis % rank for axis in axes.integers if -rank <= axis < rank}
    kept = [axis for axis in range(rank) if axis not in reduced]
    if operator.option(0, "B"):
        shape = tuple(1 if axis in reduced else size for axis, size in enumerate(values.shape))
    else:
        shape = tuple(values.shape[axis] for axis in kept)
    return (
        values.type == output.type == FLOAT32
        and values.elements > 0
        and len(reduced) == len(axes.integers)
        and output.shape == shape
    )


# BuiltinOperator: (fewest inputs, most inputs, BuiltinOptions that it may have, rule).
_RULES: dict[int, tuple[int, int, tuple[int, ...], Rule]] = {
    0: (2, 2, (0, 11), _binary),  # ADD
    1: (1, 1, (5,), _pool),  # AVERAGE_POOL_2D
    3: (2, 3, (1,), _convolution),  # CONV_2D
    4: (3, 3, (2,), _depthwise_convolution),  # DEPTHWISE_CONV_2D
    6: (1, 1, (0, 38), _dequantize),  # DEQUANTIZE
    9: (2, 3, (8,), _dense),  # FULLY_CONNECTED
    _LOGISTIC: (1, 1, (0,), _curve),
    17: (1, 1, (5,), _pool),  # MAX_POOL_2D
    18: (2, 2, (0, 21), _binary),  # MUL
    19: (1, 1, (0,), _unary),  # RELU
    21: (1, 1, (0,), _unary),  # RELU6
    22: (2, 2, (0, 17), _reshape),  # RESHAPE
    25: (1, 1, (9,), _softmax),  # SOFTMAX
    _TANH: (1, 1, (0,), _curve),
    34: (2, 2, (0, 22), _pad),  # PAD
    40: (2, 2, (0, 27), _mean),  # MEAN
    41: (2, 2, (0, 28), _binary),  # SUB
    42: (2, 2, (0, 29), _binary),  # DIV
    114: (1, 1, (0, 89), _quantize),  # QUANTIZE
}
