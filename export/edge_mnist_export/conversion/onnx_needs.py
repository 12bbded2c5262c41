"""The bytes of an `.onnx` file in, what a runtime must have to load it out. Without TensorFlow."""

from __future__ import annotations

from typing import Any

import onnx

from .targets import Needs


def needs(content: bytes) -> Needs:
    """Return the opset, the IR version, DequantizeLinear's version, and any further domains."""
    model = onnx.load_from_string(content)
    versions = {"opset": _opset(model), "IR": model.ir_version}
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        schema = onnx.defs.get_schema("DequantizeLinear", versions["opset"])
        versions["DequantizeLinear"] = schema.since_version
    domains = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    return {**versions, **{f"domain {domain}": 1 for domain in sorted(domains)}}


def requirements(content: bytes) -> dict[str, Any]:
    """Return the opset and the IR version that a runtime must support."""
    model = onnx.load_from_string(content)
    return {"opset": _opset(model), "ir_version": model.ir_version}


def _opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
