"""`edge-mnist export`: real conversions, run in real runtimes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier, ModelError, backends
from edge_mnist.bundle import read_bundle
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.datasets import find, load
from tests.conftest import Cli, error_line
from tests.export.conftest import EVERYTHING

PRECISIONS = ("float32", "float16", "dynamic", "int8")
FILES = [(precision, format) for format in ("tflite", "onnx") for precision in PRECISIONS]


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> dict[str, object]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load(find("synthetic"), "test", limit=500).images


def test_the_manifest_describes_every_file(bundle: Path, manifest: dict[str, object]) -> None:
    entries = manifest["artifacts"]
    assert [(entry["precision"], entry["format"]) for entry in entries] == FILES
    assert {path.name for path in bundle.iterdir()} == {
        "manifest.json",
        *(entry["file"] for entry in entries),
    }
    for entry in entries:
        content = (bundle / entry["file"]).read_bytes()
        assert entry["size_bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert 0 <= entry["agreement"] <= 1
        assert ("opset" in entry) == (entry["format"] == "onnx")
        assert ("min_runtime_version" in entry) == (entry["format"] == "tflite")


def test_the_manifest_says_how_it_was_made(manifest: dict[str, object]) -> None:
    assert manifest["schema"] == 1
    assert manifest["architecture"]["parameters"] == 225_034
    assert manifest["training"]["data"]["name"] == "synthetic-train"
    assert manifest["evaluation"]["data"] == "synthetic-test"
    assert manifest["evaluation"]["images"] == 10_000
    assert manifest["calibration"]["data"] == "synthetic-train"
    assert manifest["calibration"]["seed"] == 0
    assert {"tensorflow", "tf2onnx", "onnxruntime"} <= set(manifest["tools"])


def test_the_threshold_keeps_what_it_says(manifest: dict[str, object]) -> None:
    refusal = manifest["refusal"]
    assert refusal["data"] == "synthetic-train"
    assert 0 < refusal["threshold"] < 1
    assert 0.995 <= refusal["kept"] <= 1
    assert refusal["refused"]["empty paper"] == 1


def test_every_file_is_within_its_derived_tolerance(manifest: dict[str, object]) -> None:
    for entry in manifest["artifacts"]:
        error, tolerance = entry["max_probability_error"], entry["probability_tolerance"]
        assert 0 < entry["mean_probability_error"] < error <= tolerance <= 1, entry
        assert len(entry["differing_images"]) == round((1 - entry["agreement"]) * 10_000)
        if entry["precision"] == "float32":
            assert 1e-5 <= tolerance < 1e-4
            assert entry["differing_images"] == []


def test_stated_accuracy_is_what_the_files_do(bundle: Path, manifest: dict[str, object]) -> None:
    split = load(find("synthetic"), "test")
    for entry in manifest["artifacts"]:
        digits = Classifier(bundle / entry["file"]).predict_batch(split.images)
        assert (digits == split.labels).mean() == pytest.approx(entry["accuracy"])


def test_int8_is_integers_from_end_to_end(bundle: Path) -> None:
    for artifact in read_bundle(bundle).artifacts:
        session = Classifier(artifact.path).session
        expected = "uint8" if artifact.precision == "int8" else "float32"
        assert (session.input.dtype, session.output.dtype) == (expected, expected)
        if artifact.precision == "int8":
            # Pixel 255 stands for 1: the pixels are the quantized input.
            assert (session.input.scale, session.input.zero_point) == (
                pytest.approx(1 / 255),
                0,
            )
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=(bundle / "model-int8.tflite").read_bytes())
    kinds = {details["dtype"] for details in interpreter.get_tensor_details()}
    assert kinds <= {np.uint8, np.int8, np.int32}


def test_sizes_are_those_of_the_precision(bundle: Path) -> None:
    def size(precision: str) -> int:
        return (bundle / f"model-{precision}.tflite").stat().st_size

    assert size("int8") <= 0.27 * size("float32")
    assert size("float16") <= 0.52 * size("float32")


def test_the_graphs_are_clean(bundle: Path) -> None:
    import onnx

    for precision in PRECISIONS:
        model = onnx.load(bundle / f"model-{precision}.onnx")
        ops = {node.op_type for node in model.graph.node}
        assert not ops & {"Shape", "Gather", "Slice", "Concat", "MatMul"}, precision
        assert [value.name for value in model.graph.input] == ["image"]
        assert [value.name for value in model.graph.output] == ["probabilities"]
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_an_open_batch_answers_as_one_by_one(bundle: Path, images: np.ndarray) -> None:
    classifier = Classifier(bundle / "model-float32.onnx")
    together = classifier.predict_probabilities(images)
    alone = np.stack([classifier.predict(image).probabilities for image in images])
    # The batch may be summed in another order: a few float32 steps.
    assert np.abs(together - alone).max() < 1e-5


def test_a_failed_gate_prints_the_table_and_leaves_nothing(
    cli: Cli, run: Path, tmp_path: Path
) -> None:
    """One channel ten thousand times larger, and read as much smaller: for float32 it is

    the same function, for one 8-bit range over all channels it is the end.
    """
    import keras

    broken = tmp_path / "broken.keras"
    model = keras.saving.load_model(run / "model.keras")
    first, second = (layer for layer in model.layers if "conv2d" in layer.name)
    kernel, bias = first.get_weights()
    following, offset = second.get_weights()
    kernel[..., 0], bias[0], following[:, :, 0] = (
        kernel[..., 0] * 1e4,
        bias[0] * 1e4,
        following[:, :, 0] / 1e4,
    )
    first.set_weights([kernel, bias])
    second.set_weights([following, offset])
    model.save(broken)
    asked = ("--data", "synthetic", "--int8", "--format", "tflite", "--out", tmp_path / "b")
    done = cli("export", broken, *asked, status=1)
    assert "int8       tflite" in done.stdout
    assert "Expected a drop of at most 0.3 points, agreement" in error_line(done)
    assert "model-int8.tflite dropped" in error_line(done)
    assert "model-int8.tflite agrees on" in error_line(done)
    assert "model-float32.tflite" not in error_line(done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.keras"]


def test_weights_that_run_json_does_not_tell_of_are_refused(
    cli: Cli, run: Path, tmp_path: Path
) -> None:
    import keras

    shutil.copytree(run, tmp_path / "run")
    model = keras.saving.load_model(run / "model.keras")
    model.set_weights([weight * 2 for weight in model.get_weights()])
    model.save(tmp_path / "run" / "model.keras")
    done = cli("export", tmp_path / "run", status=2)
    assert "Expected the weights that run.json tells of" in error_line(done)


def test_format_and_precision_are_what_was_asked(cli: Cli, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "runs" / "mine")
    taken = tmp_path / "runs" / "mine" / "bundle"
    taken.mkdir()
    (taken / "manifest.json").touch()
    # An export stands beside the first, and one of the same name is refused.
    out = cli("export", "--format", "onnx", cwd=tmp_path).stdout
    bundle = taken.with_name("bundle-2")
    assert out.endswith(f"Wrote {bundle.relative_to(tmp_path)}\n")
    assert {path.name for path in bundle.iterdir()} == {"manifest.json", "model-float32.onnx"}
    assert "synthetic-test, 10,000 images" in out
    done = cli("export", "--out", taken, cwd=tmp_path, status=2)
    assert "which holds something; choose another with --out" in error_line(done)


def test_bad_runs_are_named_and_nothing_is_written(cli: Cli, run: Path, tmp_path: Path) -> None:
    import keras

    done = cli("export", cwd=tmp_path, status=2)
    assert "Expected a finished run in runs/, got none" in error_line(done)
    done = cli("export", "nowhere", cwd=tmp_path, status=2)
    assert "Expected a run folder (with run.json), got nowhere" in error_line(done)
    record = json.loads((run / "run.json").read_text())
    broken = tmp_path / "run"
    broken.mkdir()
    (broken / "run.json").write_text(json.dumps({**record, "status": "running"}))
    assert "which was interrupted" in error_line(cli("export", broken, status=2))
    (broken / "run.json").write_text(json.dumps(record))
    assert "model.keras, got nothing; train" in error_line(cli("export", broken, status=2))
    (broken / "model.keras").write_bytes(b"PK\x03\x04 not a zip after all")
    assert "model.keras, got something else" in error_line(cli("export", broken, status=2))
    flat = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
    flat.save(broken / "model.keras")
    done = cli("export", broken, status=2)
    assert "of a fixed size, got an input of shape (784,)" in error_line(done)
    assert sorted(path.name for path in broken.iterdir()) == ["model.keras", "run.json"]


@pytest.mark.parametrize("formats", ["", "tflite,tflite", "pb", "onnx,,"])
def test_bad_formats_are_named(cli: Cli, formats: str) -> None:
    assert "expected tflite, onnx or both" in error_line(
        cli("export", "--format", formats, status=2)
    )


def test_every_backend_here_reads_the_bundle(bundle: Path, images: np.ndarray) -> None:
    for backend in [runtime.backend for runtime in backends.installed()]:
        assert Classifier(bundle, backend=backend).predict_batch(images).shape == (len(images),)


def test_two_exports_are_the_same_to_the_byte(
    cli: Cli, run: Path, bundle: Path, tmp_path: Path
) -> None:
    cli("export", run, *EVERYTHING, "--out", tmp_path / "again")
    for path in bundle.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_both_formats_read_alike(bundle: Path) -> None:
    split = load(find("synthetic"), "test")
    for precision in ("float32", "float16", "int8"):
        digits = [
            Classifier(bundle / f"model-{precision}.{format}").predict_batch(split.images)
            for format in ("tflite", "onnx")
        ]
        assert (digits[0] == digits[1]).mean() >= 0.999


def test_a_fixed_batch_is_fixed_and_answers_alike(
    cli: Cli, run: Path, bundle: Path, images: np.ndarray, tmp_path: Path
) -> None:
    import onnx

    asked = (*EVERYTHING, "--format", "onnx", "--batch", "4", "--out", tmp_path / "fixed")
    cli("export", run, *asked)
    manifest = json.loads((tmp_path / "fixed" / "manifest.json").read_text())
    for entry in manifest["artifacts"]:
        assert entry["batch"] == 4
        model = onnx.load(tmp_path / "fixed" / entry["file"])
        onnx.checker.check_model(model, full_check=True)
        for value in (*model.graph.input, *model.graph.output):
            assert value.type.tensor_type.shape.dim[0].dim_value == 4
        # 6 images: one batch, and one to be filled up.
        fixed = Classifier(tmp_path / "fixed" / entry["file"]).predict_probabilities(images[:6])
        opened = Classifier(bundle / entry["file"]).predict_probabilities(images[:6])
        # dynamic takes its ranges from the whole batch, the images that fill it up included.
        within = 0.01 if entry["precision"] == "dynamic" else 1e-5
        assert np.abs(fixed - opened).max() < within
    opened_manifest = json.loads((bundle / "manifest.json").read_text())
    batches = {entry["file"]: entry["batch"] for entry in opened_manifest["artifacts"]}
    assert batches["model-int8.onnx"] is None
    assert batches["model-int8.tflite"] == 1
    done = cli("export", run, "--format", "tflite", "--batch", "4", status=2)
    assert "Expected --batch with .onnx files, got only tflite" in error_line(done)


def test_the_files_themselves_hold_their_labels(bundle: Path, tmp_path: Path) -> None:
    import onnx

    from edge_mnist_export.conversion.onnx import finish

    model = onnx.load(bundle / "model-int8.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["labels"]) == list("0123456789")
    assert float(metadata["image.scale"]) == pytest.approx(1 / 255)
    # Without a manifest the file's labels are obeyed.
    names = tuple(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    plain = onnx.load(bundle / "model-float32.onnx")
    del plain.metadata_props[:]
    named = finish(plain.SerializeToString(), ModelSpec(labels=names))
    (tmp_path / "named.onnx").write_bytes(named)
    assert Classifier(tmp_path / "named.onnx").labels == names
    shutil.copy(bundle / "model-int8.tflite", tmp_path / "bare.tflite")
    assert Classifier(tmp_path / "bare.tflite").labels == tuple("0123456789")


def test_both_formats_name_their_edges_alike(bundle: Path) -> None:
    for artifact in read_bundle(bundle).artifacts:
        session = Classifier(artifact.path).session
        assert (session.input.name, session.output.name) == ("image", "probabilities")


def test_a_float_op_in_an_int8_tflite_file_is_named(bundle: Path) -> None:
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    from edge_mnist_export.conversion.tflite import check_integer

    content = (bundle / "model-int8.tflite").read_bytes()
    check_integer(content)
    with pytest.raises(ModelError, match=r"got CONV_2D in float \("):
        check_integer((bundle / "model-float32.tflite").read_bytes())
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (graph,) = model.subgraphs
    graph.tensors[graph.operators[3].outputs[0]].type = schema.TensorType.FLOAT32
    with pytest.raises(ModelError, match="Expected integers only in the int8 TFLite file"):
        check_integer(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def test_a_float_op_in_an_int8_onnx_file_is_named(bundle: Path) -> None:
    import onnx

    from edge_mnist_export.conversion.onnx import check_integer

    model = onnx.load(bundle / "model-int8.onnx")
    check_integer(model)
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    last = next(node for node in model.graph.node if softmax.output[0] in node.input)
    last.input[0] = "between"
    exp = onnx.helper.make_node("Exp", [softmax.output[0]], ["between"], "exp_1")
    model.graph.node.append(exp)
    with pytest.raises(ModelError, match=r"between integers, got (Softmax|Exp) \("):
        check_integer(model)
