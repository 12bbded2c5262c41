"""The bytes of a `.tflite` file in, what a runtime must have to load it out. Without TensorFlow."""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from . import tflite_file
from .targets import PER_CHANNEL_DENSE, Needs


def needs(content: bytes) -> Needs:
    """Return the highest version of every builtin operator that a runtime must have.

    A custom operator appears as CUSTOM, which no runtime has.
    """
    model = tflite_file.read(content)
    versions: dict[str, int] = {}
    for code in model.operatorCodes:
        name = tflite_file.operator_name(code)
        versions[name] = max(code.version, versions.get(name, 0))
    return {**versions, PER_CHANNEL_DENSE: 1} if _has_per_channel_dense(model) else versions


def requirements(content: bytes) -> dict[str, Any]:
    """Return the operators, and the oldest TensorFlow Lite if the file's converter states it."""
    model = tflite_file.read(content)
    stated = [entry for entry in model.metadata or () if entry.name == b"min_runtime_version"]
    versions = [bytes(model.buffers[e.buffer].data).rstrip(b"\0").decode() for e in stated[:1]]
    ops = {name: version for name, version in needs(content).items() if name != PER_CHANNEL_DENSE}
    return {**({"min_runtime_version": versions[0]} if versions else {}), "ops": ops}


def _has_per_channel_dense(model: Any) -> bool:
    """Whether an int8 dense layer has per-channel weights. Its operator version does not tell."""
    return any(
        tflite_file.operator_name(model.operatorCodes[op.opcodeIndex]) == "FULLY_CONNECTED"
        and graph.tensors[op.inputs[0]].type == schema.TensorType.INT8
        and len(graph.tensors[op.inputs[1]].quantization.scale) > 1
        for graph in model.subgraphs
        for op in graph.operators
    )
