"""The layers of model files, and files of their first layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

from edge_mnist.bundle import find_artifacts
from edge_mnist.errors import ModelError
from edge_mnist.inspection.file_layers import parts, read_layers
from edge_mnist.inspection.layer import Layer
from tests.conftest import WHOLE

FILES = ("model-int8.tflite", "model-float32.tflite", "model-int8.onnx", "model-float32.onnx")
# Of the architecture edge: filters, height and width of the kernel, its depth, and the output.
CONVOLUTIONS = (
    (20, 4, 2, 4, 14, 7),
    (24, 3, 3, 20, 7, 7),
    (28, 3, 3, 24, 5, 5),
    (24, 3, 3, 28, 3, 3),
)


def read(file: Path) -> list[Layer]:
    (artifact,) = find_artifacts(file)
    return read_layers(artifact, artifact.read())


def run(file: Path | str, content: bytes, values: Any) -> dict[str, Any]:
    """Run a file; return its outputs by name."""
    if str(file).endswith(".onnx"):
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(
            zip(names, session.run(names, {session.get_inputs()[0].name: values}), strict=True)
        )
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    details = interpreter.get_output_details()
    return {one["name"]: interpreter.get_tensor(one["index"]) for one in details}


@pytest.mark.parametrize("name", FILES)
def test_the_parameters_of_edge_are_those_of_its_architecture(name: str) -> None:
    layers = read(WHOLE / name)
    weighted = [layer for layer in layers if layer.parameters]
    expected = [filters * h * w * depth + filters for filters, h, w, depth, *_ in CONVOLUTIONS]
    assert [layer.parameters for layer in weighted] == [*expected, 216 * 10 + 10]
    # Keras counts 19,610: its four numbers a filter of batch normalization become one bias.
    filters = sum(one[0] for one in CONVOLUTIONS)
    assert sum(layer.parameters for layer in layers) == 19_610 - 4 * filters + filters
    bias_bytes, weight_bytes = 4 * (filters + 10), 4 if "float32" in name else 1
    size = (19_322 - filters - 10) * weight_bytes + bias_bytes
    assert sum(layer.weight_bytes for layer in layers) == size


@pytest.mark.parametrize("name", FILES[:2])
def test_the_multiply_adds_of_edge_are_those_of_its_architecture(name: str) -> None:
    layers = read(WHOLE / name)
    counts = [layer.multiply_adds for layer in layers if layer.multiply_adds]
    expected = [
        filters * h * w * d * rows * columns for filters, h, w, d, rows, columns in CONVOLUTIONS
    ]
    assert counts == [*expected, 2160]
    assert sum(counts) == 482_192


def test_layers_have_the_words_of_the_field() -> None:
    names = {name: [layer.name for layer in read(WHOLE / name)] for name in FILES}
    body = [
        "Conv2D 4×2, stride 2×1, ReLU",
        "Conv2D 3×3, stride 2×1, ReLU",
        *["Conv2D 3×3, ReLU"] * 2,
    ]
    end = ["Reshape", "Dense", "Softmax"]
    assert names["model-int8.tflite"] == ["Quantize", "Reshape", *body, *end, "Quantize"]
    assert names["model-float32.tflite"] == ["Reshape", *body, *end]
    assert names["model-float32.onnx"] == ["Reshape", "Transpose", *body, "Transpose", *end]
    quantized = [name.removesuffix(", ReLU") for name in body]  # the quantized range ends at 0
    assert names["model-int8.onnx"] == ["Reshape", "Transpose", *quantized, "Transpose", *end]


@pytest.mark.parametrize(
    ("name", "dtype", "zero_point"),
    [("model-int8.tflite", "int8", 0), ("model-int8.onnx", "uint8", 128)],
)
def test_a_layer_knows_its_scales(name: str, dtype: str, zero_point: int) -> None:
    convolutions = [layer for layer in read(WHOLE / name) if layer.name.startswith("Conv2D")]
    for layer, (filters, *_) in zip(convolutions, CONVOLUTIONS, strict=True):
        assert layer.weights is not None
        assert layer.weights.dtype == dtype
        assert len(layer.weights.scales) == filters
        assert set(layer.weights.zero_points) == {zero_point}
        assert len(layer.output.scales) == len(layer.output.zero_points) == 1
    # Both formats were quantized by one scheme.
    assert convolutions[0].output.scales[0] == pytest.approx(0.00407, abs=1e-5)


@pytest.mark.parametrize("name", FILES)
def test_the_part_of_all_layers_answers_as_the_model(name: str) -> None:
    file = WHOLE / name
    content, layers = file.read_bytes(), read(file)
    kind = np.uint8 if "int8" in name else np.float32
    values = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1)).astype(kind)
    values = values if "int8" in name else values / kind(255)
    files = parts(file.suffix[1:], content, layers)
    assert len(files) == len(layers) + 1
    expected = run(file, content, values)
    assert {key: v.tolist() for key, v in run(file, files[-1], values).items()} == {
        key: v.tolist() for key, v in expected.items()
    }
    for part in files[:-1]:
        outputs = run(file, part, values)
        assert len(outputs) == 1
    np.testing.assert_array_equal(*run(file, files[0], values).values(), values)


def branched_model() -> bytes:
    """Return a model of two branches: y = relu(x) + x · w."""
    weights = numpy_helper.from_array(np.full((4, 4), 0.5, np.float32), "w")
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"]),
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Add", ["positive", "product"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in "xy")
    graph = helper.make_graph(nodes, "branched", [x], [y], [weights])
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def test_a_part_keeps_every_branch_that_is_still_needed(tmp_path: Path) -> None:
    file = tmp_path / "branched.onnx"
    file.write_bytes(branched_model())
    layers = read(file)
    assert [(layer.name, layer.parameters) for layer in layers] == [
        ("ReLU", 0),
        ("Dense", 16),
        ("Add", 0),
    ]
    values = np.array([[1, -1, 2, -2]], np.float32)
    files = parts("onnx", file.read_bytes(), layers)
    outputs = [sorted(run(file, part, values)) for part in files]
    # The input is still needed after the first layer, but it is there without being made.
    assert outputs == [["x"], ["positive"], ["positive", "product"], ["y"]]
    assert run(file, files[2], values)["product"].tolist() == [[0, 0, 0, 0]]


def quantized_branches() -> bytes:
    """Return a model with Q/DQ pairs that two layers read, an activation alone, and no Conv."""
    scale = numpy_helper.from_array(np.array(0.5, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(3, np.uint8), "zero")
    quantization = ("scale", "zero")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *quantization], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *quantization], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("DequantizeLinear", ["q", *quantization], ["c"]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in "xy")
    graph = helper.make_graph(nodes, "quantized", [x], [y], [scale, zero])
    opset = [helper.make_opsetid("", 13)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content


def test_a_dequantized_tensor_belongs_to_the_layer_that_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "quantized.onnx"
    file.write_bytes(quantized_branches())
    layers = read(file)
    assert [(layer.name, layer.operators) for layer in layers] == [
        ("Quantize", ("QuantizeLinear",)),
        ("ReLU", ("DequantizeLinear", "Relu")),
        ("Add", ("DequantizeLinear", "Add")),
    ]
    assert layers[0].output.scales == (0.5,)
    assert layers[0].output.zero_points == (3,)
    values = np.array([[1, -1, 2, -1.5]], np.float32)
    files = parts("onnx", file.read_bytes(), layers)
    outputs = [run(file, part, values) for part in files]
    assert [sorted(one) for one in outputs] == [["x"], ["q"], ["b", "q"], ["y"]]
    assert outputs[3]["y"].tolist() == [[2, -1, 4, -1.5]]


@pytest.mark.parametrize("name", ["model-int8.tflite", "model-int8.onnx"])
def test_a_damaged_file_gives_an_error_or_layers(name: str, tmp_path: Path) -> None:
    content, random = (WHOLE / name).read_bytes(), np.random.default_rng(0)
    file, refused = tmp_path / name, 0
    for _ in range(100):
        changed = bytearray(content)
        for place in random.integers(0, len(content), 10):
            changed[place] = random.integers(256)
        file.write_bytes(changed)
        try:
            layers = read(file)
            parts(file.suffix[1:], bytes(changed), layers[:2])
        except ModelError as error:
            assert error.code == "model-layers"
            refused += 1
    assert 0 < refused < 100
