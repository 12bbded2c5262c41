"""The converted files: their graphs, types, labels and predictions in real runtimes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_mnist import Classifier, backends
from edge_mnist.bundle import read_bundle
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.datasets import find, load
from edge_mnist.int8 import Convolution, read_graph
from tests.conftest import Cli, find_mnist
from tests.errors import assert_error, raises
from tests.export.conftest import EVERYTHING

PRECISIONS = ("float32", "float16", "dynamic", "int8")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load(find("synthetic"), "test", limit=500).images


def test_int8_files_contain_only_integers(bundle: Path) -> None:
    for artifact in read_bundle(bundle).artifacts:
        session = Classifier(artifact.path).session
        expected = "uint8" if artifact.precision == "int8" else "float32"
        assert (session.input.dtype, session.output.dtype) == (expected, expected)
        if artifact.precision == "int8":
            # Pixel 255 is 1.0, so that the pixels are the quantized input.
            assert (session.input.scale, session.input.zero_point) == (
                pytest.approx(1 / 255),
                0,
            )
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=(bundle / "model-int8.tflite").read_bytes())
    kinds = {details["dtype"] for details in interpreter.get_tensor_details()}
    assert kinds <= {np.uint8, np.int8, np.int32}


def test_sizes_follow_from_the_precision(bundle: Path) -> None:
    def size(precision: str) -> int:
        return (bundle / f"model-{precision}.tflite").stat().st_size

    assert size("int8") <= 0.32 * size("float32")
    assert size("float16") <= 0.54 * size("float32")


def test_the_graphs_are_clean(bundle: Path) -> None:
    import onnx

    for precision in PRECISIONS:
        model = onnx.load(bundle / f"model-{precision}.onnx")
        ops = {node.op_type for node in model.graph.node}
        assert not ops & {"Shape", "Gather", "Slice", "Concat", "MatMul"}, precision
        assert [value.name for value in model.graph.input] == ["image"]
        assert [value.name for value in model.graph.output] == ["probabilities"]
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_an_open_batch_predicts_as_one_by_one(bundle: Path, images: np.ndarray) -> None:
    classifier = Classifier(bundle / "model-float32.onnx")
    together = classifier.predict_probabilities(images)
    alone = np.stack([classifier.predict(image).probabilities for image in images])
    # A batch may be summed in another order, which changes a few float32 steps.
    assert np.abs(together - alone).max() < 1e-5


def test_every_installed_backend_runs_the_bundle(bundle: Path, images: np.ndarray) -> None:
    for backend in [runtime.backend for runtime in backends.installed()]:
        assert Classifier(bundle, backend=backend).predict_batch(images).shape == (len(images),)


def test_both_formats_predict_alike(bundle: Path) -> None:
    split = load(find("synthetic"), "test")
    for precision in ("float32", "float16", "int8"):
        digits = [
            Classifier(bundle / f"model-{precision}.{format}").predict_batch(split.images)
            for format in ("tflite", "onnx")
        ]
        assert (digits[0] == digits[1]).mean() >= 0.999


def plain(path: Path, images: np.ndarray, *, option: bool = False) -> np.ndarray:
    """Return the raw outputs of ONNX Runtime's default session, one image at a time."""
    options = onnxruntime.SessionOptions()
    if option:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options)
    return np.concatenate([session.run(None, {"image": image[np.newaxis]})[0] for image in images])


def test_a_plain_session_of_onnx_runtime_computes_int8_as_litert(bundle: Path) -> None:
    images = load(find(str(find_mnist() or "synthetic")), "test").images[..., np.newaxis]
    litert = Classifier(bundle / "model-int8.tflite", backend="litert").session
    expected = np.concatenate([litert.run(image[np.newaxis]) for image in images]).tobytes()
    for option in (False, True):
        assert plain(bundle / "model-int8.onnx", images, option=option).tobytes() == expected


def test_a_plain_session_of_onnx_runtime_computes_dynamic_exactly(
    bundle: Path, images: np.ndarray
) -> None:
    import onnx.reference

    path = bundle / "model-dynamic.onnx"
    values = images[..., np.newaxis].astype(np.float32) / np.float32(255)
    outputs = plain(path, values)
    assert np.array_equal(outputs, plain(path, values, option=True))
    reference = onnx.reference.ReferenceEvaluator(str(path))
    expected = [reference.run(None, {"image": value[np.newaxis]})[0] for value in values[:100]]
    # An activation at the edge of two steps may be rounded otherwise.
    assert np.abs(outputs[:100] - np.concatenate(expected)).max() < 1e-3


def test_both_int8_files_hold_the_same_integers(bundle: Path) -> None:
    import onnx

    operators = read_graph((bundle / "model-int8.tflite").read_bytes()).operators
    graph = onnx.load(bundle / "model-int8.onnx").graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    users = {name: node for node in graph.node for name in node.input}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    convolutions = [operator for operator in operators if isinstance(operator, Convolution)]
    for node, operator in zip(layers, convolutions, strict=True):
        scales = [constants[makers[name].input[1]] for name in node.input[:2]]
        weights, bias = (constants[makers[name].input[0]] for name in node.input[1:])
        zero_points = constants[makers[node.input[1]].input[2]]
        assert (weights.dtype, set(zero_points.ravel().tolist())) == (np.uint8, {128})
        # (out, in, height, width), or (in, out), as (out, height, width, in)
        axes = (0, 2, 3, 1) if weights.ndim == 4 else (1, 0)
        signed = (weights.astype(np.int16) - 128).transpose(axes)
        assert np.array_equal(signed.reshape(operator.weights.shape), operator.weights)
        assert np.array_equal(bias, operator.bias)
        output = constants[users[node.output[0]].input[1]]
        assert np.array_equal(scales[0] * scales[1] / output, operator.multipliers)


def test_a_fixed_batch_is_fixed_and_predicts_alike(
    host: Cli, run: Path, bundle: Path, images: np.ndarray, tmp_path: Path
) -> None:
    import onnx

    asked = (*EVERYTHING, "--format", "onnx", "--batch", "4", "--out", tmp_path / "fixed")
    host("export", run, *asked)
    manifest = json.loads((tmp_path / "fixed" / "manifest.json").read_text())
    for entry in manifest["artifacts"]:
        assert entry["batch"] == 4
        model = onnx.load(tmp_path / "fixed" / entry["file"])
        onnx.checker.check_model(model, full_check=True)
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.shape.dim[0].dim_value == 4
        # 6 images are one full batch and one padded batch.
        fixed = Classifier(tmp_path / "fixed" / entry["file"]).predict_probabilities(images[:6])
        opened = Classifier(bundle / entry["file"]).predict_probabilities(images[:6])
        # dynamic takes its ranges from the whole batch, padding included.
        within = 0.01 if entry["precision"] == "dynamic" else 1e-5
        assert np.abs(fixed - opened).max() < within
    opened_manifest = json.loads((bundle / "manifest.json").read_text())
    batches = {entry["file"]: entry["batch"] for entry in opened_manifest["artifacts"]}
    assert batches["model-int8.onnx"] is None
    assert batches["model-int8.tflite"] == 1
    done = host("export", run, "--format", "tflite", "--batch", "4", status=2)
    assert_error(done, "model-batch", "tflite")


def test_the_files_contain_their_labels(bundle: Path, tmp_path: Path) -> None:
    import onnx

    from edge_mnist_export.conversion.onnx import finish

    model = onnx.load(bundle / "model-int8.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["labels"]) == list("0123456789")
    assert float(metadata["image.scale"]) == pytest.approx(1 / 255)
    # Without a manifest the file's own labels count.
    names = tuple(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    plain = onnx.load(bundle / "model-float32.onnx")
    del plain.metadata_props[:]
    named = finish(plain.SerializeToString(), ModelSpec(labels=names))
    (tmp_path / "named.onnx").write_bytes(named)
    assert Classifier(tmp_path / "named.onnx").labels == names
    shutil.copy(bundle / "model-int8.tflite", tmp_path / "bare.tflite")
    assert Classifier(tmp_path / "bare.tflite").labels == tuple("0123456789")


def test_both_formats_name_input_and_output_alike(bundle: Path) -> None:
    for artifact in read_bundle(bundle).artifacts:
        session = Classifier(artifact.path).session
        assert (session.input.name, session.output.name) == ("image", "probabilities")


def test_a_float_op_in_an_int8_tflite_file_is_named(bundle: Path) -> None:
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    from edge_mnist_export.conversion.tflite import check_integer

    content = (bundle / "model-int8.tflite").read_bytes()
    check_integer(content)
    with raises("model-int8-tflite", "RESHAPE"):
        check_integer((bundle / "model-float32.tflite").read_bytes())
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (graph,) = model.subgraphs
    graph.tensors[graph.operators[3].outputs[0]].type = schema.TensorType.FLOAT32
    with raises("model-int8-tflite"):
        check_integer(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def test_a_float_op_in_an_int8_onnx_file_is_named(bundle: Path) -> None:
    import onnx

    from edge_mnist_export.conversion.onnx_quantizer import check_integer

    model = onnx.load(bundle / "model-int8.onnx")
    check_integer(model)
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    last = next(node for node in model.graph.node if softmax.output[0] in node.input)
    last.input[0] = "between"
    exp = onnx.helper.make_node("Exp", [softmax.output[0]], ["between"], "exp_1")
    model.graph.node.append(exp)
    with raises("model-int8-onnx"):
        check_integer(model)
