"""The bytes of an `.onnx` file in; its layers, and its first layers as a file of their own, out.

The field numbers are those of onnx.proto: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ..model_files.onnx_file import Node, read_graph
from ..model_files.operator_names import printable, word
from ..model_files.protobuf import as_bytes, encode, fields, integers, text
from .layer import Layer, Values

# TensorProto.DataType, by its number.
_TYPES = (
    *("undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string"),
    *("bool", "float16", "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16"),
    *("float8", "float8", "float8", "float8", "uint4", "int4", "float4"),
)
_BITS = {"float32": 32, "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "int32": 32, "bool": 8}
_BITS |= {"float16": 16, "bfloat16": 16, "float8": 8, "uint32": 32, "uint4": 4, "int4": 4}
_BITS |= {"float4": 4}
_ARITHMETIC = ("Add", "Sub", "Mul", "Div")
# The positions of an operator's weights and biases among its inputs. Constants of all other
# operators, such as shapes, axes and bounds, are no parameters.
_WEIGHTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(
        ("Conv", "FusedConv", "ConvTranspose", "Gemm", "DynamicQuantizeMatMul"), (1, 2)
    ),
    **dict.fromkeys(("ConvInteger", "PRelu"), (1,)),
    **dict.fromkeys(("MatMul", "MatMulInteger", *_ARITHMETIC), (0, 1)),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
    "QGemm": (3, 6),
    "BatchNormalization": (1, 2, 3, 4),
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization"), (1, 2)),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (1, 2, 3)),
}
_CONVOLUTIONS = ("Conv", "FusedConv", "ConvInteger", "QLinearConv")
_PRODUCTS = ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm", "QGemm")
# Positions of the scale of the weights, and of that of the output, among an operator's inputs;
# a zero point is the next input.
_SCALES = {"QLinearConv": (4, 6), "QLinearMatMul": (4, 6), "QGemm": (4, 7)}
_OUTPUT_SCALES = {"QuantizeLinear": 1, "QLinearAdd": 6, "QLinearMul": 6, "QLinearSigmoid": 3}
_OUTPUT_SCALES |= {"QLinearSoftmax": 3, "QLinearAveragePool": 3, "QLinearGlobalAveragePool": 3}
# Operators that a runtime fuses into the one before: they belong to its layer.
_FUSED = ("QuantizeLinear", "Relu", "LeakyRelu", "Clip")
# Operators that may only unpack a constant.
_UNPACKS = ("DequantizeLinear", "Cast", "Identity")

# Upper bound on the scales of a tensor: one a channel.
_MOST_SCALES = 100_000

Shapes = Mapping[str, tuple[tuple[int, ...], str]]


@dataclass(frozen=True)
class _Graph:
    """The nodes that run, as groups that make a layer each.

    Attributes:
        nodes: all nodes, in the file's order.
        constants: the constants' bytes by name; of an unpacked one also by its name after that.
        groups: the positions of the nodes of each layer.
        made_by: the position of the node that makes a tensor, by its name.
        outputs: the graph's outputs.
        scales: the scale and zero point of unpacked constants: the names by the constant's name.
    """

    nodes: Sequence[Node]
    constants: Mapping[str, memoryview]
    groups: Sequence[tuple[int, ...]]
    made_by: Mapping[str, int]
    outputs: tuple[str, ...]
    scales: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, content: bytes) -> Self:
        nodes, tensors = read_graph(content)
        constants, scales, running = dict(tensors), dict[str, tuple[str, ...]](), list[int]()
        for number, node in enumerate(nodes):
            known = [name in constants for name in node.inputs if name]
            if node.op in _UNPACKS and node.inputs[:1] != ("",) and known and all(known):
                constants[node.outputs[0]] = constants[node.inputs[0]]
                if node.op == "DequantizeLinear":
                    scales[node.outputs[0]] = node.inputs[1:]
            elif node.op != "Constant":
                running.append(number)
        made_by = {name: number for number in running for name in nodes[number].outputs}
        outputs = _output_names(content)
        groups = _group(nodes, running, made_by, outputs)
        return cls(nodes, constants, groups, made_by, outputs, scales)


def _group(
    nodes: Sequence[Node],
    running: Iterable[int],
    made_by: Mapping[str, int],
    outputs: Sequence[str],
) -> list[tuple[int, ...]]:
    """Return the nodes of each layer.

    A DequantizeLinear belongs to the first layer that reads it. A QuantizeLinear or an activation
    belongs to the layer that it alone reads.
    """
    readers: dict[str, list[int]] = {}
    for number in running:
        for name in nodes[number].inputs:
            readers.setdefault(name, []).append(number)
    groups: dict[int, list[int]] = {}
    group_of: dict[int, int] = {}
    for number in running:
        node = nodes[number]
        source = made_by.get(node.inputs[0]) if node.inputs else None
        reads_alone = source is not None and len(readers[node.inputs[0]]) == 1
        if (
            node.op in _FUSED
            and reads_alone
            and source in group_of
            and (node.inputs[0] not in outputs)
        ):
            group = group_of[source]
        elif node.op == "DequantizeLinear" and readers.get(node.outputs[0]):
            continue
        else:
            group = number
        group_of[number] = group
        groups.setdefault(group, []).append(number)
    # Backwards, as a DequantizeLinear may read another.
    for number in reversed([number for number in running if number not in group_of]):
        group = group_of.get(min(readers[nodes[number].outputs[0]]), number)
        group_of[number] = group
        groups.setdefault(group, []).append(number)
    return [tuple(sorted(members)) for _, members in sorted(groups.items())]


def layers(content: bytes, shapes: Shapes | None = None) -> list[Layer]:
    """Return the layers of a file's graph.

    Args:
        content: the file's bytes.
        shapes: shape and type of tensors, by name, as a run showed them; None if there was none.

    Raises:
        ValueError, IndexError: the file is broken.
    """
    graph, seen, found = _Graph.read(content), set[str](), []
    for group in graph.groups:
        found.append(_layer(graph, group, seen, shapes or {}))
    return found


def _layer(graph: _Graph, group: tuple[int, ...], seen: set[str], shapes: Shapes) -> Layer:
    members = [graph.nodes[number] for number in group]
    node = next((n for n in members if n.op not in (*_FUSED, "DequantizeLinear")), None)
    if node is None:
        node = next((n for n in members if n.op != "DequantizeLinear"), members[0])
    names = [n for p in _WEIGHTS.get(node.op, ()) for n in node.inputs[p : p + 1]]
    weights = {name: graph.constants[name] for name in names if name in graph.constants}
    if node.op in _ARITHMETIC:
        # A scalar is a constant of the computation, such as 1/255.
        weights = {name: one for name, one in weights.items() if math.prod(_shape(one)) > 1}
    shape_of = {name: _shape(tensor) for name, tensor in weights.items()}
    main = max(weights, key=lambda name: math.prod(shape_of[name]), default=None)
    new = [name for name in weights if name not in seen]
    seen |= set(weights)
    output = _output(graph, group, shapes)
    kernel = shape_of[main] if main else ()
    return Layer(
        name=_name(members, node, kernel),
        nodes=group,
        operators=tuple(printable(member.op) for member in members),
        output=output,
        weights=_weights(graph, node, main) if main else None,
        parameters=sum(math.prod(shape_of[name]) for name in new),
        weight_bytes=sum(_size_bytes(weights[name]) for name in new),
        multiply_adds=_multiply_adds(graph, node, kernel, output.shape, shapes),
    )


def _name(members: Sequence[Node], node: Node, kernel: tuple[int, ...]) -> str:
    """Return the field's words, such as "Conv2D 3×3, stride 2, ReLU"."""
    name, attributes = word(node.op), _attributes(node)
    if node.op in ("MatMul", "QLinearMatMul", "MatMulInteger") and kernel:
        name = "Dense"
    if node.op in _CONVOLUTIONS:
        groups = (attributes.get("group") or (1,))[0]
        name = "DepthwiseConv2D" if groups > 1 and kernel[1:2] == (1,) else "Conv2D"
        name = name if len(kernel) == 4 else name.replace("2D", f"{len(kernel) - 2}D")
    window = attributes.get("kernel_shape") or (kernel[2:] if node.op in _CONVOLUTIONS else ())
    parts = [f"{name} {'×'.join(map(str, window))}" if window else name]
    strides = attributes.get("strides", ())
    if any(stride != 1 for stride in strides):
        same = len(set(strides)) == 1
        parts.append(f"stride {strides[0] if same else '×'.join(map(str, strides))}")
    fused = [m for m in members if m is not node and m.op in _FUSED]
    return ", ".join([*parts, *(word(m.op) for m in fused if m.op != "QuantizeLinear")])


def _multiply_adds(
    graph: _Graph,
    node: Node,
    kernel: tuple[int, ...],
    output: tuple[int, ...] | None,
    shapes: Shapes,
) -> int | None:
    """Return the multiply-adds: outputs times the products that each of them sums up."""
    if node.op not in (*_CONVOLUTIONS, *_PRODUCTS, "ConvTranspose"):
        return 0
    left = _source_shape(graph, node.inputs[0], shapes)
    if node.op == "ConvTranspose":
        return None if left is None else math.prod(left) * math.prod(kernel[1:])
    if output is None:
        return None
    if node.op in _CONVOLUTIONS:
        return math.prod(output) * math.prod(kernel[1:])
    if len(kernel) == 2:  # (inputs, units) or, transposed, (units, inputs)
        return math.prod(output) * math.prod(kernel) // max(1, output[-1])
    return None if not left else math.prod(output) * left[-1]


def _source_shape(graph: _Graph, name: str, shapes: Shapes) -> tuple[int, ...] | None:
    """Return the shape of a tensor; that of an input that a DequantizeLinear unpacks is its own."""
    for _ in graph.nodes:
        if name in shapes:
            return shapes[name][0]
        node = graph.nodes[graph.made_by[name]] if name in graph.made_by else None
        if node is None or node.op != "DequantizeLinear":
            break
        name = node.inputs[0]
    return None


def _output(graph: _Graph, group: tuple[int, ...], shapes: Shapes) -> Values:
    last = graph.nodes[group[-1]]
    shape, dtype = shapes.get(last.outputs[0], (None, ""))
    position = _OUTPUT_SCALES.get(last.op, _SCALES.get(last.op, (0, 0))[1])
    names = last.inputs[position : position + 2] if position else ()
    zero_point = graph.constants.get(names[1]) if len(names) > 1 else None
    stated = "unknown" if zero_point is None else _type(zero_point)
    return Values(shape, dtype or stated, *_quantization(graph, names))


def _weights(graph: _Graph, node: Node, name: str) -> Values:
    tensor = graph.constants[name]
    position = _SCALES.get(node.op, (0, 0))[0]
    names = graph.scales.get(name) or (node.inputs[position : position + 2] if position else ())
    return Values(_shape(tensor), _type(tensor), *_quantization(graph, names))


def _quantization(graph: _Graph, names: Sequence[str]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the scales and zero points that constants of these names hold."""
    tensors = [graph.constants[name] for name in names if name in graph.constants]
    if not tensors:
        return (), ()
    scales = tuple(map(float, _numbers(tensors[0])))
    zeros = tuple(map(int, _numbers(tensors[1]))) if len(tensors) > 1 else (0,) * len(scales)
    return scales, zeros


def _numbers(tensor: memoryview) -> tuple[float, ...]:
    """Return the elements of a small tensor of float32 or of 8 or 32 bits."""
    kind, raw, typed = _type(tensor), b"", list[int | memoryview]()
    for number, value in fields(tensor):
        if number == 9:
            raw = bytes(as_bytes(value))
        elif number == (4 if kind == "float32" else 5):
            typed.append(value)
    format = {"float32": "f", "int8": "b", "uint8": "B", "int32": "i"}.get(kind, "")
    if not format:
        return ()
    if kind == "float32" and not raw:
        raw = b"".join(bytes(as_bytes(value)) for value in typed)
    if len(raw) > _MOST_SCALES * 4 or math.prod(_shape(tensor)) > _MOST_SCALES:
        raise ValueError(f"more than {_MOST_SCALES} scales or zero points")
    if raw:
        # Bytes may be left over in a broken file.
        return struct.unpack_from(f"<{len(raw) // struct.calcsize(format)}{format}", raw)
    return tuple(n for v in typed for n in integers(v)) or (0,) * math.prod(_shape(tensor))


def _shape(tensor: memoryview) -> tuple[int, ...]:
    return tuple(
        size for number, value in fields(tensor) if number == 1 for size in integers(value)
    )


def _type(tensor: memoryview) -> str:
    kind = next((value for number, value in fields(tensor) if number == 2), 0)
    return _TYPES[kind] if isinstance(kind, int) and kind < len(_TYPES) else "unknown"


def _size_bytes(tensor: memoryview) -> int:
    return (math.prod(_shape(tensor)) * _BITS.get(_type(tensor), 64) + 7) // 8


def _attributes(node: Node) -> dict[str, tuple[int, ...]]:
    """Return the attributes of integers of a node, by name."""
    found = {}
    for number, attribute in fields(node.message):
        if number == 5:
            message = as_bytes(attribute)
            values = tuple(
                n for field, value in fields(message) if field in (3, 8) for n in integers(value)
            )
            found[text(message, 1)] = values
    return found


def _output_names(content: bytes) -> tuple[str, ...]:
    return tuple(
        text(as_bytes(value), 1) for number, value in _graph_fields(content) if number == 12
    )


def _graph_fields(content: bytes) -> list[tuple[int, int | memoryview]]:
    graphs = (as_bytes(value) for number, value in fields(memoryview(content)) if number == 7)
    return [entry for graph in graphs for entry in fields(graph)]


def part(content: bytes, nodes: Iterable[int]) -> bytes:
    """Return a file of these nodes, and of those that unpack constants for them.

    Its outputs are the tensors that the left-out nodes, or the caller, would read. Without nodes
    its output is its input.

    Raises:
        ValueError, IndexError: the file is broken.
    """
    graph, kept = _Graph.read(content), set(nodes)
    outputs = _open_outputs(graph, kept)
    kept |= _unpacking(graph, kept)
    if not outputs:
        inputs = [name for node in graph.nodes for name in node.inputs]
        outputs = [n for n in inputs if n not in graph.constants and n not in graph.made_by][:1]
    new, number = b"", -1
    for field, value in _graph_fields(content):
        number += field == 1
        if (field == 1 and number not in kept) or field in (12, 13):
            continue
        new += encode(field, value)
    new += b"".join(encode(12, encode(1, name.encode())) for name in outputs)
    others = (entry for entry in fields(memoryview(content)) if entry[0] != 7)
    return b"".join(encode(*entry) for entry in others) + encode(7, new)


def _unpacking(graph: _Graph, kept: set[int]) -> set[int]:
    """Return the nodes that unpack the constants of these nodes: others would run for nothing."""
    running = {number for group in graph.groups for number in group}
    needed = {name for number in kept for name in graph.nodes[number].inputs}
    found = set()
    for number in reversed(range(len(graph.nodes))):
        node = graph.nodes[number]
        if number not in running and needed & set(node.outputs):
            found.add(number)
            needed |= set(node.inputs)
    return found


def _open_outputs(graph: _Graph, kept: set[int]) -> list[str]:
    """Return the tensors that these nodes make and that others, or the caller, read."""
    left_out = {number for group in graph.groups for number in group} - kept
    read = {name for number in left_out for name in graph.nodes[number].inputs}
    read |= set(graph.outputs)
    return [n for number in sorted(kept) for n in graph.nodes[number].outputs if n in read]
