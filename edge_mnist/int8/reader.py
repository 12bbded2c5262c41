"""The bytes of a full int8 `.tflite` file in, its integer graph out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..model_files import tflite_file
from ..model_files.malformed import Malformed
from ..model_files.operator_names import tflite_name
from ..model_files.tflite_file import Tensor
from .graph import (
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

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .graph import Shape

# TensorType's numbers.
_INT32, _UINT8, _INT8 = 2, 3, 9
_LIMITS = {_INT8: (-128, 127), _UINT8: (0, 255)}
_SAME, _VALID = 0, 1
# Bounds on scales, far outside of those of real models. Within them no product overflows float32.
_LEAST_SCALE, _MOST_SCALE = 1e-9, 1e6
# Multipliers of a sum have this many bits; the greater of the two has all of them.
_SUM_BITS = 20
# Activations, as functions of a float64 number.
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "QUANTIZE": lambda x: x,
    "RELU": lambda x: max(x, 0.0),
    "RELU6": lambda x: min(max(x, 0.0), 6.0),
    "LOGISTIC": lambda x: 1 / (1 + math.exp(-x)),
    "TANH": math.tanh,
    "GELU": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "HARD_SWISH": lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
}


class Unsupported(Exception):  # noqa: N818 - the name describes the file
    """The arithmetic lacks something that a file needs; `str` names it."""


def read_graph(content: bytes) -> Graph:
    """Return the integer graph of a file.

    Args:
        content: the bytes of a `.tflite` file of one input and one output, batch 1.

    Raises:
        Malformed: the file is broken.
        Unsupported: an operator, or its use, has no integer arithmetic here.
    """
    model = tflite_file.read(content)
    if len(model.graphs) != 1 or not model.usual:
        raise Unsupported("several graphs, open sizes or custom quantization")
    return _Reader(content, model.graphs[0]).graph()


class _Reader:
    """Reads the operators of one graph; numbers the values in the order of their first use."""

    def __init__(self, content: bytes, graph: tflite_file.Graph) -> None:
        self._content, self._graph = content, graph
        self._values: list[Value] = []
        self._indices: dict[int, int] = {}
        self._operators: list[Operator] = []

    def graph(self) -> Graph:
        inputs, outputs = self._graph.inputs, self._graph.outputs
        if len(inputs) != 1 or len(outputs) != 1:
            raise Unsupported(f"{len(inputs)} inputs and {len(outputs)} outputs")
        first = self._new(inputs[0])
        for operator in self._graph.operators:
            self._read(operator)
        return Graph(
            tuple(self._values),
            tuple(self._operators),
            first,
            self._index(outputs[0]),
            inputs[0].shape[1:],
        )

    def _read(self, operator: tflite_file.Operator) -> None:
        name = tflite_name(operator.code)
        inputs = tuple(tensor for tensor in operator.inputs if tensor is not None)
        if name not in _READERS or len(operator.outputs) != 1 or not inputs:
            raise Unsupported(name)
        try:
            with np.errstate(divide="raise", over="raise", invalid="raise"):
                _READERS[name](self, operator, inputs, operator.outputs[0])
        except Malformed:
            raise
        except (ValueError, IndexError, ArithmeticError) as error:
            # Another number of operands, axes or scales than the operator has, or a scale of 0.
            raise Unsupported(f"{name} of other operands ({error})") from error

    def _new(self, tensor: Tensor) -> int:
        """Return the index of a value that an operator writes."""
        if tensor.type not in _LIMITS or len(tensor.scales) != 1:
            raise Unsupported("values other than int8 and uint8")
        if not _LEAST_SCALE <= tensor.scales[0] <= _MOST_SCALE:
            raise Unsupported(f"values of scale {tensor.scales[0]:g}")
        if tensor.shape[:1] != (1,):
            raise Unsupported(f"a batch other than 1, in shape {tensor.shape}")
        value = Value(
            tensor.elements, tensor.scales[0], tensor.zero_points[0], tensor.type == _INT8
        )
        self._values.append(value)
        self._indices[tensor.index] = len(self._values) - 1
        return len(self._values) - 1

    def _index(self, tensor: Tensor) -> int:
        if tensor.index not in self._indices:
            raise Unsupported("an operator on constants")
        return self._indices[tensor.index]

    def _array(self, tensor: Tensor, dtype: str) -> NDArray[Any]:
        found = np.frombuffer(self._content, dtype, tensor.elements, tensor.start)
        return found.reshape(tensor.shape)

    def convolution(
        self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor
    ) -> None:
        image, kernel = _shape(inputs[0]), inputs[1].shape
        if len(kernel) != 4 or kernel[3] != image[2]:
            raise Unsupported("a grouped CONV_2D")
        window = _window(op, image, _shape(output), (kernel[1], kernel[2]), dilations=(4, 5))
        self._weighted(Convolution, op, inputs, output, image, window, activation=3)

    def depthwise(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        image, kernel = _shape(inputs[0]), inputs[1].shape
        window = _window(op, image, _shape(output), (kernel[1], kernel[2]), dilations=(5, 6))
        self._weighted(DepthwiseConvolution, op, inputs, output, image, window, activation=4)

    def dense(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        depth = inputs[1].shape[1]
        image = (1, inputs[0].elements // depth, depth)
        self._weighted(Convolution, op, inputs, output, image, Window((1, 1)), activation=0)

    def _weighted(
        self,
        kind: type[Convolution] | type[DepthwiseConvolution],
        op: tflite_file.Operator,
        inputs: Sequence[Tensor],
        output: Tensor,
        image: Shape,
        window: Window,
        *,
        activation: int,
    ) -> None:
        """Append an operator with weights; `activation` is the field of its activation."""
        values, weights = inputs[:2]
        if weights.type != _INT8 or not weights.constant or any(weights.zero_points):
            raise Unsupported(f"{tflite_name(op.code)} without constant int8 weights")
        if not all(0 <= scale <= _MOST_SCALE for scale in weights.scales):
            raise Unsupported(f"weights of a scale outside of 0 to {_MOST_SCALE:g}")
        depthwise = kind is DepthwiseConvolution
        array = self._array(weights, "i1")
        shape = (array.shape[0], *window.size, image[2])
        array = array[0] if depthwise else array.reshape(shape)
        channels = array.shape[-1 if depthwise else 0]
        bias = np.zeros(channels, np.int32)
        if len(inputs) == 3:
            if inputs[2].type != _INT32 or not inputs[2].constant:
                raise Unsupported(f"{tflite_name(op.code)} without a constant int32 bias")
            bias = self._array(inputs[2], "<i4").astype(np.int32)
        scales = np.array(weights.scales, np.float32) * np.float32(values.scales[0])
        low, high = _limits(op, output, activation)
        self._operators.append(
            kind(
                self._index(values),
                self._new(output),
                image,
                (*_outer(output, channels), channels),
                window,
                array,
                bias,
                np.broadcast_to(scales / np.float32(output.scales[0]), channels),
                values.zero_points[0],
                output.zero_points[0],
                low,
                high,
            )
        )

    def add(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        sources, shape = self._pair(op, inputs, output)
        ratios = [np.float32(t.scales[0]) / np.float32(output.scales[0]) for t in inputs]
        # The exponent of the greater ratio: frexp's mantissa is in [0.5, 1).
        shift = _SUM_BITS - (math.frexp(max(ratios))[1] - 1)
        if not 12 <= shift <= 30:
            raise Unsupported("an ADD of scales that differ too much")
        first, second = (round(math.ldexp(float(ratio), shift)) for ratio in ratios)
        points = inputs[0].zero_points[0], inputs[1].zero_points[0]
        low, high = _limits(op, output, 0)
        index = self._new(output)
        self._operators.append(
            Add(
                sources,
                index,
                shape,
                (first, second),
                shift,
                points,
                output.zero_points[0],
                low,
                high,
            )
        )

    def multiply(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        sources, shape = self._pair(op, inputs, output)
        scale = np.float32(inputs[0].scales[0]) * np.float32(inputs[1].scales[0])
        multiplier = float(scale / np.float32(output.scales[0]))
        points = inputs[0].zero_points[0], inputs[1].zero_points[0]
        low, high = _limits(op, output, 0)
        index = self._new(output)
        self._operators.append(
            Multiply(sources, index, shape, multiplier, points, output.zero_points[0], low, high)
        )

    def _pair(
        self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor
    ) -> tuple[tuple[int, int], Shape]:
        if len(inputs) != 2 or not inputs[0].shape == inputs[1].shape == output.shape:
            raise Unsupported(f"{tflite_name(op.code)} of two shapes")
        return (self._index(inputs[0]), self._index(inputs[1])), _shape(output)

    def average_pool(
        self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor
    ) -> None:
        self._pool(op, inputs[0], output, average=True)

    def max_pool(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        self._pool(op, inputs[0], output, average=False)

    def _pool(
        self, op: tflite_file.Operator, values: Tensor, output: Tensor, *, average: bool
    ) -> None:
        image, shape = _shape(values), _shape(output)
        _check_same_scale(op, values, output)
        window = _window(op, image, shape, (op.option(4, "i"), op.option(3, "i")))
        low, high = _limits(op, output, 5)
        source = self._index(values)
        self._operators.append(
            Pool(source, self._new(output), image, shape, window, average, low, high)
        )

    def mean(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        values, axes = inputs
        _check_image_axes(op, values, axes)
        image = _shape(values)
        scale = np.float32(values.scales[0]) / np.float32(output.scales[0])
        multiplier = float(scale / np.float32(image[0] * image[1]))
        points = values.zero_points[0], output.zero_points[0]
        source = self._index(values)
        self._operators.append(Mean(source, self._new(output), image, multiplier, *points))

    def pad(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        values, paddings = inputs[:2]
        _check_same_scale(op, values, output)
        pads = paddings.integers
        if pads is None or len(values.shape) != 4 or any(pads[:2]) or len(inputs) > 2:
            raise Unsupported("a PAD of other than an image")
        source = self._index(values)
        before = pads[2], pads[4], pads[6]
        self._operators.append(
            Pad(
                source,
                self._new(output),
                _shape(values),
                _shape(output),
                before,
                values.zero_points[0],
            )
        )

    def reshape(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        """A reshape moves no byte."""
        _check_same_scale(op, inputs[0], output)
        self._indices[output.index] = self._index(inputs[0])

    def table(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        (values,) = inputs
        if values.type not in _LIMITS:
            raise Unsupported(f"{tflite_name(op.code)} of float values")
        bytes = _table(_function(op), values, output)
        source = self._index(values)
        self._operators.append(Table(source, self._new(output), bytes))

    def reduce_max(
        self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor
    ) -> None:
        """The maximum over the image is a pool whose window is the image."""
        values, axes = inputs
        _check_same_scale(op, values, output)
        _check_image_axes(op, values, axes)
        image = _shape(values)
        window, shape = Window(image[:2], image[:2]), (1, 1, image[2])
        source = self._index(values)
        limits = _LIMITS[_INT8]
        self._operators.append(
            Pool(source, self._new(output), image, shape, window, False, *limits)
        )

    def softmax(self, op: tflite_file.Operator, inputs: Sequence[Tensor], output: Tensor) -> None:
        (values,) = inputs
        if (output.scales, output.zero_points, output.type) != ((1 / 256,), (-128,), _INT8):
            raise Unsupported("a SOFTMAX whose output is not int8 of scale 1/256")
        if values.elements != values.shape[-1]:
            raise Unsupported("a SOFTMAX of several rows")
        beta = 0.0 if op.options is None else op.options.real(0)
        step = np.float32(values.scales[0]) * np.float32(beta)
        # float32 is the rounding of float64, so that no library's expf decides.
        table = [math.exp(-float(step * np.float32(index))) for index in range(256)]
        source = self._index(values)
        self._operators.append(
            Softmax(source, self._new(output), values.elements, np.array(table, np.float32))
        )


def _table(function: Callable[[float], float], values: Tensor, output: Tensor) -> NDArray[np.uint8]:
    """Return the output's byte for each byte of the input.

    `q = clip(rint(float32(f(scale * (byte - zero_point)) / output scale)) + zero_point)`.
    """
    dtype = np.int8 if values.type == _INT8 else np.uint8
    inputs = np.arange(256, dtype=np.uint8).view(dtype).astype(np.int64) - values.zero_points[0]
    scale, out_scale = float(values.scales[0]), float(output.scales[0])
    results = [function(scale * int(value)) / out_scale for value in inputs]
    low, high = _LIMITS[output.type]
    rounded = np.rint(np.array(results, np.float32)) + output.zero_points[0]
    bytes: NDArray[np.uint8] = np.clip(rounded, low, high).astype(np.int64).astype(np.uint8)
    return bytes


def _shape(tensor: Tensor) -> Shape:
    """Return (height, width, channels) of a tensor (1, …); missing axes are 1."""
    shape = (*(1,) * (4 - len(tensor.shape)), *tensor.shape[1:])
    if len(shape) != 3:
        raise Unsupported(f"a tensor of {len(tensor.shape)} axes")
    return shape


def _outer(output: Tensor, channels: int) -> tuple[int, int]:
    shape = output.shape
    if len(shape) == 4:
        return shape[1], shape[2]
    return 1, output.elements // channels


def _window(
    op: tflite_file.Operator,
    image: Shape,
    output: Shape,
    size: tuple[int, int],
    *,
    dilations: tuple[int, int] | None = None,
) -> Window:
    """Return the window; `dilations` are its fields, horizontal first as in the options."""
    strides = op.option(2, "i"), op.option(1, "i")
    spread = (
        (op.option(dilations[1], "i", 1), op.option(dilations[0], "i", 1)) if dilations else (1, 1)
    )
    if min(*size, *strides, *spread) < 1 or op.option(0, "b") not in (_SAME, _VALID):
        raise Unsupported(f"{tflite_name(op.code)} of an unknown window")
    if op.option(0, "b") == _VALID:
        return Window(size, strides, (0, 0), spread)
    before = [
        max((out - 1) * stride + (side - 1) * gap + 1 - extent, 0) // 2
        for out, stride, side, gap, extent in zip(
            output[:2], strides, size, spread, image[:2], strict=True
        )
    ]
    return Window(size, strides, (before[0], before[1]), spread)


def _limits(op: tflite_file.Operator, output: Tensor, field: int) -> tuple[int, int]:
    """Return the least and the greatest output, with the fused activation of a field."""
    if output.type != _INT8:
        raise Unsupported(f"{tflite_name(op.code)} of other than int8")
    scale, zero_point = np.float32(output.scales[0]), output.zero_points[0]
    low, high = _LIMITS[_INT8]
    match op.option(field, "b"):
        case 0:
            return low, high
        case 1:
            return max(low, zero_point), high
        case 3:
            six = zero_point + int(np.rint(np.float32(6) / scale))
            return max(low, zero_point), min(high, six)
    raise Unsupported(f"{tflite_name(op.code)} with a rare activation")


def _function(op: tflite_file.Operator) -> Callable[[float], float]:
    """Return the function of an operator on single values."""
    name = tflite_name(op.code)
    if name == "LEAKY_RELU":
        slope = 0.0 if op.options is None else op.options.real(0)
        return lambda x: x if x >= 0 else slope * x
    if name == "GELU" and op.option(0, "B"):
        raise Unsupported("an approximate GELU")
    return _FUNCTIONS[name]


def _check_image_axes(op: tflite_file.Operator, values: Tensor, axes: Tensor) -> None:
    rank = len(values.shape)
    if rank != 4 or {axis % rank for axis in axes.integers or ()} != {1, 2}:
        raise Unsupported(f"a {tflite_name(op.code)} of other axes than height and width")


def _check_same_scale(op: tflite_file.Operator, values: Tensor, output: Tensor) -> None:
    if (values.scales, values.zero_points) != (output.scales, output.zero_points):
        raise Unsupported(f"{tflite_name(op.code)} between two scales")


_READERS = {
    "CONV_2D": _Reader.convolution,
    "DEPTHWISE_CONV_2D": _Reader.depthwise,
    "FULLY_CONNECTED": _Reader.dense,
    "ADD": _Reader.add,
    "MUL": _Reader.multiply,
    "AVERAGE_POOL_2D": _Reader.average_pool,
    "MAX_POOL_2D": _Reader.max_pool,
    "MEAN": _Reader.mean,
    "REDUCE_MAX": _Reader.reduce_max,
    "PAD": _Reader.pad,
    "RESHAPE": _Reader.reshape,
    "SOFTMAX": _Reader.softmax,
    **dict.fromkeys((*_FUNCTIONS, "LEAKY_RELU"), _Reader.table),
}
