"""`edge-mnist export`: real conversions, run in real runtimes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier, backends
from edge_mnist.bundle import read_bundle
from edge_mnist.datasets import find, load
from tests.conftest import Cli, error_line

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
    assert manifest["calibration"] == {
        "data": "synthetic-train",
        "images": 500,
        "per_class": 50,
        "seed": 0,
    }
    assert {"tensorflow", "tf2onnx", "onnxruntime"} <= set(manifest["tools"])


def test_float32_is_keras_and_the_others_are_near(manifest: dict[str, object]) -> None:
    for entry in manifest["artifacts"]:
        # float32 sums in another order; float16 has 11 bits; int8 in [0, 1] steps of 1/256
        # behind four layers that each round.
        limit = {"float32": 1e-5, "float16": 0.02, "dynamic": 0.5, "int8": 0.5}[entry["precision"]]
        assert entry["max_probability_error"] < limit, entry
        assert entry["agreement"] > (0.999 if "float" in entry["precision"] else 0.98), entry


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
    """One channel a thousand times larger, and read a thousand times smaller: for float32 it is

    the same function, for one 8-bit range over all channels it is the end.
    """
    import keras

    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    model = keras.saving.load_model(run / "model.keras")
    first, second = (layer for layer in model.layers if "conv2d" in layer.name)
    kernel, bias = first.get_weights()
    following, offset = second.get_weights()
    kernel[..., 0], bias[0], following[:, :, 0] = (
        kernel[..., 0] * 1e3,
        bias[0] * 1e3,
        following[:, :, 0] / 1e3,
    )
    first.set_weights([kernel, bias])
    second.set_weights([following, offset])
    model.save(broken / "model.keras")
    done = cli("export", broken, "--int8", "--format", "tflite", "--out", tmp_path / "b", status=1)
    assert "int8       tflite" in done.stdout
    assert "Expected a drop of at most 0.3 points, got more in model-int8.tflite" in error_line(
        done
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_format_and_precision_are_what_was_asked(cli: Cli, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "runs" / "mine")
    out = cli("export", "--format", "onnx", cwd=tmp_path).stdout
    bundle = tmp_path / "runs" / "mine" / "bundle"
    assert out.endswith(f"Wrote {bundle.relative_to(tmp_path)}\n")
    assert {path.name for path in bundle.iterdir()} == {"manifest.json", "model-float32.onnx"}
    assert "synthetic-test, 10,000 images" in out
    # A second export stands beside the first, and a third of the same name is refused.
    assert "bundle-2" in cli("export", "--format", "onnx", cwd=tmp_path).stdout
    done = cli("export", "--out", bundle, cwd=tmp_path, status=2)
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
    assert "Expected a Keras model at" in error_line(cli("export", broken, status=2))
    (broken / "model.keras").write_bytes(b"PK\x03\x04 not a zip after all")
    assert "Expected a Keras model at" in error_line(cli("export", broken, status=2))
    flat = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
    flat.save(broken / "model.keras")
    done = cli("export", broken, status=2)
    assert "Expected a model from images (28, 28, 1) to 10 probabilities" in error_line(done)
    assert sorted(path.name for path in broken.iterdir()) == ["model.keras", "run.json"]


@pytest.mark.parametrize("formats", ["", "tflite,tflite", "pb", "onnx,,"])
def test_bad_formats_are_named(cli: Cli, formats: str) -> None:
    assert "expected tflite, onnx or both" in error_line(
        cli("export", "--format", formats, status=2)
    )


def test_calibration_images_are_balanced_and_seeded() -> None:
    from edge_mnist_export.calibration import representative

    train = load(find("synthetic"), "train", limit=3000)
    chosen = representative(train, per_class=20, seed=4)
    assert chosen.shape == (200, 28, 28)
    labels = {
        image.tobytes(): label for image, label in zip(train.images, train.labels, strict=True)
    }
    counts = np.bincount([labels[image.tobytes()] for image in chosen], minlength=10)
    assert counts.tolist() == [20] * 10
    assert np.array_equal(chosen, representative(train, per_class=20, seed=4))
    assert not np.array_equal(chosen, representative(train, per_class=20, seed=5))


def test_every_backend_here_reads_the_bundle(bundle: Path, images: np.ndarray) -> None:
    for backend in [runtime.backend for runtime in backends.installed()]:
        assert Classifier(bundle, backend=backend).predict_batch(images).shape == (len(images),)
