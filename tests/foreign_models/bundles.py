"""Bundles whose manifest lists a file of any content, with its true size and hash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_mnist.bundle import sha256
from tests.conftest import WHOLE


def sole_file(folder: Path, name: str, content: bytes, **changes: Any) -> Path:
    """Write a bundle with one file; return the file.

    Args:
        folder: for the bundle.
        name: of a file in tests/bundle, whose fields the manifest keeps.
        content: the file's bytes.
        changes: fields of the manifest.
    """
    manifest = json.loads((WHOLE / "manifest.json").read_text(encoding="utf-8"))
    (entry,) = [one for one in manifest["artifacts"] if one["file"] == name]
    entry |= {"size_bytes": len(content), "sha256": sha256(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest | changes | {"artifacts": [entry]}))
    (folder / name).write_bytes(content)
    return folder / name


def dense_model(
    *, side: int = 28, operator: str = "Identity", bias: Sequence[float] = (0.0,) * 10
) -> bytes:
    """Return an ONNX file: pixels (n, side, side, 1) float32 times weights, plus a bias (10,).

    Class 0 gets the sum of the pixels. `operator` comes after the bias.
    """
    onnx = pytest.importorskip("onnx", reason="needs onnx to write the file")
    helper, kind, pixels = onnx.helper, onnx.TensorProto.FLOAT, side * side
    constants = [
        helper.make_tensor("w", kind, (pixels, 10), ([1.0] + [0.0] * 9) * pixels),
        helper.make_tensor("b", kind, (10,), bias),
    ]
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["sums"]),
        helper.make_node("Add", ["sums", "b"], ["values"]),
        helper.make_node(operator, ["values"], ["outputs"]),
    ]
    tensors = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, shape in (("image", ["n", side, side, 1]), ("outputs", ["n", 10]))
    ]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
