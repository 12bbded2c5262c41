"""The bytes of a `.tflite` file in; its layers, and its first layers as a file of their own, out.

The field numbers are those of TensorFlow's schema.fbs, as in `model_files.tflite_file`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence

from ..model_files.flatbuffer import root
from ..model_files.malformed import Malformed
from ..model_files.operator_names import tflite_name, word
from ..model_files.tflite_file import Graph, Operator, Tensor, read
from .layer import Layer, Values

# TensorType, by its number.
_TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64"),
    *("int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16"),
    *("int4", "bfloat16", "int2", "uint4"),
)
_SHAPE_TYPES = ("int32", "int64", "bool", "string")
# ActivationFunctionType, by its number; 0 is none.
_ACTIVATIONS = ("", "ReLU", "ReLU −1 to 1", "ReLU6", "Tanh", "Sign")
# The operators with weights: all their constants are parameters, also biases of int32.
_CONV, _DEPTHWISE, _DENSE, _TRANSPOSED, _MATMUL, _DEQUANTIZE = 3, 4, 9, 67, 126, 6
_WEIGHTED = (_CONV, _DEPTHWISE, _DENSE, _TRANSPOSED)
# The field of the fused activation in an operator's options; of convolutions and pooling also
# those of stride and window, height first.
_ACTIVATION = {0: 0, 1: 5, 2: 1, _CONV: 3, _DEPTHWISE: 4, _DENSE: 0, 17: 5, 18: 0, 41: 0, 42: 0}
_STRIDES = {1: (2, 1), _CONV: (2, 1), _DEPTHWISE: (2, 1), 17: (2, 1), _TRANSPOSED: (2, 1)}
_WINDOW = {1: (4, 3), 17: (4, 3)}

Shapes = Mapping[str, tuple[tuple[int, ...], str]]


def layers(content: bytes, shapes: Shapes | None = None) -> list[Layer]:
    """Return the layers of a file's first graph.

    Args:
        content: the file's bytes.
        shapes: shape and type of tensors, by index, as a run showed them: the file may leave
            sizes open. None for those of the file.

    Raises:
        Malformed: the file is broken.
    """
    graph = read(content).graphs[0]
    unpacked, seen, found = _unpacked(graph), set[int](), []
    for number, operator in enumerate(graph.operators):
        if operator.outputs and operator.outputs[0].index in unpacked:
            continue
        constants = [
            constant
            for tensor in operator.inputs
            if tensor
            and (constant := unpacked.get(tensor.index, tensor)).constant
            and _is_parameter(operator, constant)
        ]
        found.append(_layer(number, operator, constants, seen, shapes or {}))
        seen |= {constant.index for constant in constants}
    return found


def _unpacked(graph: Graph) -> dict[int, Tensor]:
    """Return the constants that a DEQUANTIZE unpacks (float16 weights), by its output's index."""
    return {
        operator.outputs[0].index: operator.inputs[0]
        for operator in graph.operators
        if operator.code == _DEQUANTIZE and operator.inputs[0] and operator.inputs[0].constant
    }


def _is_parameter(operator: Operator, constant: Tensor) -> bool:
    """Return whether a constant is weights or a bias, rather than a shape, an axis or a bound."""
    if operator.code == _TRANSPOSED:
        return constant.integers is None or len(constant.shape) != 1 or constant.elements != 4
    return operator.code in _WEIGHTED or (
        constant.elements > 1 and _type(constant) not in _SHAPE_TYPES
    )


def _layer(
    number: int, operator: Operator, constants: Sequence[Tensor], seen: set[int], shapes: Shapes
) -> Layer:
    new = [constant for constant in constants if constant.index not in seen]
    main = max(constants, key=lambda constant: constant.elements, default=None)
    output = _values(operator.outputs[0], shapes)
    return Layer(
        name=_name(operator, main),
        nodes=(number,),
        operators=(tflite_name(operator.code),),
        output=output,
        weights=None if main is None else _values(main, {}),
        parameters=sum(constant.elements for constant in new),
        weight_bytes=sum(constant.size_bytes for constant in new),
        multiply_adds=_multiply_adds(operator, main, output.shape or (), shapes),
    )


def _name(operator: Operator, weights: Tensor | None) -> str:
    """Return the field's words, such as "Conv2D 3×3, stride 2, ReLU"."""
    code = operator.code
    parts = [word(tflite_name(code))]
    if weights and code in (_CONV, _DEPTHWISE, _TRANSPOSED) and len(weights.shape) == 4:
        parts[0] += " {}×{}".format(*weights.shape[1:3])
    elif code in _WINDOW:
        parts[0] += " {}×{}".format(*(operator.option(f, "i") for f in _WINDOW[code]))
    if code in _STRIDES:
        height, width = (operator.option(field, "i", 1) for field in _STRIDES[code])
        if (height, width) != (1, 1):
            parts.append(f"stride {height}" if height == width else f"stride {height}×{width}")
    activation = operator.option(_ACTIVATION[code], "b") if code in _ACTIVATION else 0
    if 0 < activation < len(_ACTIVATIONS):
        parts.append(_ACTIVATIONS[activation])
    return ", ".join(parts)


def _multiply_adds(
    operator: Operator, weights: Tensor | None, output: tuple[int, ...], shapes: Shapes
) -> int:
    """Return the multiply-adds: outputs times the products that each of them sums up."""
    outputs = math.prod(output)
    if operator.code == _MATMUL:
        left = operator.inputs[0]
        shape = _values(left, shapes).shape if left else None
        return outputs * (shape[-2 if operator.option(0, "B") else -1] if shape else 0)
    if weights is None or not weights.shape:
        return 0
    if operator.code == _CONV:
        return outputs * math.prod(weights.shape[1:])
    if operator.code == _DEPTHWISE:
        return outputs * math.prod(weights.shape[1:3])
    if operator.code == _DENSE:
        return outputs * weights.shape[-1]
    if operator.code == _TRANSPOSED and (image := operator.inputs[2]):
        inputs = math.prod(_values(image, shapes).shape or ())
        return inputs * math.prod(weights.shape[:3])
    return 0


def _values(tensor: Tensor, shapes: Shapes) -> Values:
    shape, _ = shapes.get(str(tensor.index), (tensor.shape, ""))
    return Values(shape, _type(tensor), tensor.scales, tensor.zero_points)


def _type(tensor: Tensor) -> str:
    return _TYPES[tensor.type] if 0 <= tensor.type < len(_TYPES) else f"type {tensor.type}"


def part(content: bytes, nodes: Iterable[int]) -> bytes:
    """Return a file of the operators up to the last of `nodes`; without any, of none.

    Its outputs are the tensors that the left-out operators, or the caller, would read. The bytes
    are changed in place: the operators' count, and the offset of the outputs, which leads to a
    vector at the end. No weights are copied or moved.

    Raises:
        Malformed: the file is broken.
    """
    model, graph = root(content, b"TFL3"), read(content).graphs[0]
    table = model.tables(2)[0]
    count = max(nodes, default=-1) + 1
    at, (first_operator, _) = table.position(2, 4), table.span(3, 4)
    if at is None or not first_operator:
        raise Malformed("a graph without outputs or operators")
    changed = bytearray(content)
    changed += b"\0" * (-len(changed) % 4)
    struct.pack_into("<I", changed, at, len(changed) - at)
    outputs = _open_outputs(graph, count)
    changed += struct.pack(f"<I{len(outputs)}i", len(outputs), *outputs)
    struct.pack_into("<I", changed, first_operator - 4, count)
    # Signatures name outputs that the part may lack.
    if signatures := model.span(7, 4)[0]:
        struct.pack_into("<I", changed, signatures - 4, 0)
    return bytes(changed)


def _open_outputs(graph: Graph, count: int) -> list[int]:
    """Return the indices of tensors that exist after `count` operators and are still needed."""
    unpacked = _unpacked(graph)
    made = [tensor for operator in graph.operators[:count] for tensor in operator.outputs]
    read_later = {
        tensor.index for operator in graph.operators[count:] for tensor in operator.inputs if tensor
    } | {tensor.index for tensor in graph.outputs}
    known = [tensor.index for tensor in (*graph.inputs, *made) if tensor.index not in unpacked]
    return [index for index in dict.fromkeys(known) if index in read_later]
