"""Layers of files that the fuzzing campaign found to be read with an error of another kind."""

from __future__ import annotations

import pytest

from edge_mnist.bundle import Artifact
from edge_mnist.inspection.file_layers import read_layers


def test_a_scale_of_a_broken_size() -> None:
    """struct.error came for five bytes of a float32."""
    onnx = pytest.importorskip("onnx", reason="needs onnx to write the file")
    helper, kind = onnx.helper, onnx.TensorProto
    scale = helper.make_tensor("s", kind.FLOAT, (), b"\0\0\x80\x3f", raw=True)
    zero = helper.make_tensor("z", kind.UINT8, (), b"\0", raw=True)
    scale.raw_data += b"\0"
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    tensors = [helper.make_tensor_value_info(n, kind.FLOAT, (1, 28, 28, 1)) for n in ("image", "y")]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:], [scale, zero])
    content = helper.make_model(graph).SerializeToString()
    assert read_layers(Artifact("m.onnx", "onnx", "int8", None), content)
