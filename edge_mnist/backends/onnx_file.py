"""The little of an `.onnx` file that ONNX Runtime does not tell, read from its bytes.

ONNX gives the integer inputs and outputs of a graph no scale; the node that first dequantizes
the input, and the one that quantizes the output, hold it. Protocol buffers are tag, length and
content; the field numbers are those of onnx.proto.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import NamedTuple

# Where a node's scale and zero point stand among its inputs: (of what it takes, of what it gives).
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
# These move values and leave them as they are.
_MOVES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity")
_FLOAT, _UINT8, _INT8 = 1, 2, 3

Quantization = tuple[float, int]
_Field = tuple[int, int | memoryview]


class _Node(NamedTuple):
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def quantization(content: bytes, name: str, *, output: bool) -> Quantization | None:
    """Return scale and zero point of an input or output of the graph; None if not to be found."""
    try:
        nodes, tensors = _graph(content)
    except (ValueError, IndexError, struct.error):
        # The runtime has judged the file; here it only remains unknown.
        return None
    for _ in nodes:
        node = next((n for n in nodes if name in (n.outputs if output else n.inputs)), None)
        if node is None:
            return None
        if node.op not in _MOVES:
            return _of_node(node, tensors, output)
        name = node.inputs[0] if output else node.outputs[0]
    return None


def labels(content: bytes) -> tuple[str, ...]:
    """Return the labels that export writes into a file's metadata as a JSON list; or nothing."""
    try:
        for field, entry in _fields(memoryview(content)):
            if field == 14 and _string(_bytes(entry), 1) == "labels":
                found = json.loads(_string(_bytes(entry), 2))
                return tuple(map(str, found)) if isinstance(found, list) else ()
    except (ValueError, IndexError, RecursionError):
        pass
    return ()


def has_external_data(content: bytes) -> bool:
    """Whether weights of the graph lie in other files; False where this cannot be told."""
    # Where they lie stands under this key; looking through every node takes half a millisecond.
    if b"location" not in content:
        return False
    try:
        return any(
            field == 14 and value == 1
            for tensor in _graph(content)[1].values()
            for field, value in _fields(tensor)
        )
    except (ValueError, IndexError, struct.error):
        return False


def _of_node(node: _Node, tensors: dict[str, memoryview], output: bool) -> Quantization | None:
    position = _POSITIONS.get(node.op, (None, None))[output]
    if position is None or len(node.inputs) <= position:
        return None
    scale = _scalar(tensors.get(node.inputs[position]))
    names = node.inputs[position + 1 : position + 2]
    # A zero point may be left out, and is 0 then.
    zero_point = _scalar(tensors.get(names[0])) if names and names[0] else 0
    if not scale or zero_point is None:
        return None
    return float(scale), int(zero_point)


def _graph(content: bytes) -> tuple[list[_Node], dict[str, memoryview]]:
    """Return the nodes, and the constants' bytes by name."""
    nodes: list[_Node] = []
    tensors: dict[str, memoryview] = {}
    for field, graph in _fields(memoryview(content)):
        if field != 7:
            continue
        for part, value in _fields(_bytes(graph)):
            if part == 1:
                node = _node(_bytes(value))
                nodes.append(node)
                if node.op == "Constant" and (tensor := _constant(_bytes(value))) is not None:
                    tensors[node.outputs[0]] = tensor
            elif part == 5:
                tensors[_string(_bytes(value), 8)] = _bytes(value)
    return nodes, tensors


def _node(node: memoryview) -> _Node:
    parts: dict[int, list[str]] = {1: [], 2: [], 4: [""]}
    for field, value in _fields(node):
        if field in parts:
            parts[field].append(bytes(_bytes(value)).decode())
    return _Node(parts[4][-1], tuple(parts[1]), tuple(parts[2]))


def _constant(node: memoryview) -> memoryview | None:
    for field, attribute in _fields(node):
        if field == 5 and _string(_bytes(attribute), 1) == "value":
            return next((_bytes(v) for f, v in _fields(_bytes(attribute)) if f == 5), None)
    return None


def _string(message: memoryview, number: int) -> str:
    return next((bytes(_bytes(v)).decode() for f, v in _fields(message) if f == number), "")


def _scalar(tensor: memoryview | None) -> float | None:
    """Return the value of a float32, uint8 or int8 tensor of one element."""
    if tensor is None:
        return None
    fields = {field: value for field, value in _fields(tensor)}
    kind = fields.get(2)
    formats = {_FLOAT: "<f", _UINT8: "B", _INT8: "b"}
    if kind not in formats:
        return None
    if 9 in fields:
        raw = _bytes(fields[9])
        return float(struct.unpack(formats[kind], raw)[0]) if len(raw) in (1, 4) else None
    # float_data is field 4, int32_data field 5; packed, or one value with a tag of its own.
    data = fields.get(4 if kind == _FLOAT else 5)
    if isinstance(data, int):
        return float(data)
    if data is None:
        return 0.0 if kind != _FLOAT else None
    if kind == _FLOAT:
        return float(struct.unpack("<f", data)[0])
    value, end = _varint(data, 0)
    signed = value - (1 << 64) if value >> 63 else value
    return float(signed) if end == len(data) else None


def _fields(message: memoryview) -> Iterator[_Field]:
    """Yield (field number, value): an integer, or the bytes of anything longer."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire = tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, position = _varint(message, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if position + length > len(message):
            raise ValueError("truncated")
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number of more than 64 bits")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message stands")
    return value
