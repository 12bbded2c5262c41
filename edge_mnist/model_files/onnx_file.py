"""Quantization, labels and external data of an `.onnx` file, read from its bytes.

ONNX Runtime does not report these. ONNX gives the integer inputs and outputs of a graph no
scale: the node that dequantizes the input, and the node that quantizes the output, hold it.
The field numbers are those of onnx.proto: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import json
import struct
from typing import NamedTuple

from .protobuf import as_bytes, fields, integers, text

# Positions of the scale among a node's inputs: (input's scale, output's scale). The zero point
# is the next input.
_POSITIONS = {
    "DequantizeLinear": (1, None),
    "QuantizeLinear": (None, 1),
    "QLinearConv": (1, 6),
    "QLinearMatMul": (1, 6),
    "QGemm": (1, 7),
    "QLinearSoftmax": (1, 3),
    "QLinearSigmoid": (1, 3),
    "QLinearAdd": (1, 6),
}
# These operators move values and do not change them.
_MOVES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity")
# TensorProto.DataType: the format of one element in `raw_data`.
_FLOAT = 1
_FORMATS = {_FLOAT: "<f", 2: "B", 3: "b"}


class Node(NamedTuple):
    """An operator of a graph.

    Attributes:
        op: ONNX's name of it, such as "Conv".
        inputs: the tensors' names; "" for an optional one that is left out.
        outputs: the tensors' names.
        message: its bytes.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    message: memoryview


def quantization(content: bytes, name: str, *, output: bool) -> tuple[float, int] | None:
    """Return scale and zero point of an input or output of the graph; None if not found.

    Args:
        content: the file's bytes. A broken file gives None: the runtime reports its errors.
        name: the tensor's name.
        output: whether it is an output of the graph.
    """
    try:
        nodes, tensors = read_graph(content)
        for _ in nodes:
            node = next((n for n in nodes if name in (n.outputs if output else n.inputs)), None)
            if node is None or node.op not in _MOVES:
                return _node_quantization(node, tensors, output) if node else None
            name = node.inputs[0] if output else node.outputs[0]
    except (ValueError, IndexError):
        pass
    return None


def labels(content: bytes) -> tuple[str, ...]:
    """Return the labels in the file's metadata, a JSON list that export writes; () if absent."""
    try:
        for field, entry in fields(memoryview(content)):
            if field == 14 and text(as_bytes(entry), 1) == "labels":
                found = json.loads(text(as_bytes(entry), 2))
                return tuple(map(str, found)) if isinstance(found, list) else ()
    except (ValueError, RecursionError):
        pass
    return ()


def has_external_data(content: bytes) -> bool:
    """Return whether weights of the graph lie in other files; False for a broken file."""
    # External data has a `location`. Without that word the nodes need not be read, which takes
    # 0.5 ms.
    if b"location" not in content:
        return False
    try:
        tensors = read_graph(content)[1].values()
        return any(field == 14 and value == 1 for t in tensors for field, value in fields(t))
    except (ValueError, IndexError):
        return False


def _node_quantization(
    node: Node, tensors: dict[str, memoryview], output: bool
) -> tuple[float, int] | None:
    position = _POSITIONS.get(node.op, (None, None))[output]
    if position is None or len(node.inputs) <= position:
        return None
    scale = _scalar(tensors.get(node.inputs[position]))
    names = node.inputs[position + 1 : position + 2]
    # The zero point is optional, 0 by default.
    zero_point = _scalar(tensors.get(names[0])) if names and names[0] else 0
    return (float(scale), int(zero_point)) if scale and zero_point is not None else None


def read_graph(content: bytes) -> tuple[list[Node], dict[str, memoryview]]:
    """Return the nodes in the file's order, and the constants' bytes by name.

    Raises:
        ValueError, IndexError: the file is broken.
    """
    nodes: list[Node] = []
    tensors: dict[str, memoryview] = {}
    graphs = (as_bytes(graph) for field, graph in fields(memoryview(content)) if field == 7)
    for part, value in (entry for graph in graphs for entry in fields(graph)):
        if part == 1:
            node = _node(as_bytes(value))
            nodes.append(node)
            if node.op == "Constant" and (tensor := _constant(as_bytes(value))) is not None:
                tensors[node.outputs[0]] = tensor
        elif part == 5:
            tensors[text(as_bytes(value), 8)] = as_bytes(value)
    return nodes, tensors


def _node(node: memoryview) -> Node:
    parts: dict[int, list[str]] = {1: [], 2: [], 4: [""]}
    for field, value in fields(node):
        if field in parts:
            parts[field].append(bytes(as_bytes(value)).decode())
    return Node(parts[4][-1], tuple(parts[1]), tuple(parts[2]), node)


def _constant(node: memoryview) -> memoryview | None:
    """Return the tensor of a Constant node."""
    for field, attribute in fields(node):
        if field == 5 and text(as_bytes(attribute), 1) == "value":
            return next((as_bytes(v) for f, v in fields(as_bytes(attribute)) if f == 5), None)
    return None


def _scalar(tensor: memoryview | None) -> float | None:
    """Return the value of a float32, uint8 or int8 tensor of one element."""
    values = dict(fields(tensor)) if tensor is not None else {}
    kind = values.get(2)
    if not isinstance(kind, int) or kind not in _FORMATS:
        return None
    # `raw_data` is field 9, `float_data` 4, `int32_data` 5, which is left out for a single 0.
    data = values.get(9, values.get(4 if kind == _FLOAT else 5))
    if kind != _FLOAT and 9 not in values:
        found = list(integers(data)) if data is not None else [0]
        return float(found[0]) if len(found) == 1 else None
    format = _FORMATS[kind]
    if not isinstance(data, memoryview) or len(data) != struct.calcsize(format):
        return None
    return float(struct.unpack(format, data)[0])
