"""`edge-mnist export`: its options, its manifest and its errors."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from edge_mnist import Classifier
from edge_mnist.datasets import find, load
from tests.conftest import Cli
from tests.errors import assert_error, error_line, raises
from tests.export.conftest import EVERYTHING

PRECISIONS = ("float32", "float16", "dynamic", "int8")
FILES = [(precision, format) for format in ("tflite", "onnx") for precision in PRECISIONS]


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> dict[str, object]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


def test_the_manifest_describes_every_file(bundle: Path, manifest: dict[str, object]) -> None:
    entries = manifest["artifacts"]
    assert [(entry["precision"], entry["format"]) for entry in entries] == FILES
    assert {path.name for path in bundle.iterdir()} == {
        "manifest.json",
        "config.toml",
        "examples.npz",
        *(entry["file"] for entry in entries),
    }
    for entry in entries:
        content = (bundle / entry["file"]).read_bytes()
        assert entry["size_bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert 0 <= entry["agreement"] <= 1
        assert ("opset" in entry) == (entry["format"] == "onnx")
        assert ("min_runtime_version" in entry) == (entry["format"] == "tflite")


def test_the_manifest_states_its_origin(manifest: dict[str, object]) -> None:
    assert manifest["schema"] == 1
    assert manifest["architecture"]["parameters"] == 19_610
    assert manifest["training"]["data"]["name"] == "synthetic-train"
    assert manifest["evaluation"]["data"] == "synthetic-test"
    assert manifest["evaluation"]["images"] == 10_000
    assert manifest["calibration"]["data"] == "synthetic-train"
    assert manifest["calibration"]["seed"] == 0
    assert {"tensorflow", "tf2onnx", "onnxruntime"} <= set(manifest["tools"])


def test_the_rejection_threshold_keeps_the_stated_fraction(manifest: dict[str, object]) -> None:
    refusal = manifest["refusal"]
    assert refusal["data"] == "synthetic-train"
    assert 0 < refusal["threshold"] < 1
    assert 0.995 <= refusal["kept"] <= 1
    assert refusal["refused"]["empty paper"] == 1


def test_every_file_is_within_its_tolerance(manifest: dict[str, object]) -> None:
    for entry in manifest["artifacts"]:
        error, tolerance = entry["max_probability_error"], entry["probability_tolerance"]
        assert 0 < entry["mean_probability_error"] < error <= tolerance <= 1, entry
        assert len(entry["differing_images"]) == round((1 - entry["agreement"]) * 10_000)
        if entry["precision"] == "float32":
            assert 1e-5 <= tolerance < 1e-4
            assert entry["differing_images"] == []


def test_the_stated_accuracy_is_that_of_the_files(
    bundle: Path, manifest: dict[str, object]
) -> None:
    split = load(find("synthetic"), "test")
    for entry in manifest["artifacts"]:
        digits = Classifier(bundle / entry["file"]).predict_batch(split.images)
        assert (digits == split.labels).mean() == pytest.approx(entry["accuracy"])


@pytest.fixture(scope="module")
def broken(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that int8 breaks: one channel is scaled by 1e4, and the next layer by 1e-4.

    The float32 function stays the same, but one 8-bit range over all channels loses the others.
    """
    import keras

    path = tmp_path_factory.mktemp("broken") / "broken.keras"
    model = keras.saving.load_model(run / "model.keras")
    # In a process that made other models, Keras numbers the names further.
    kinds = ("batch_normalization", "conv2d")
    named = {kind: [one for one in model.layers if one.name.startswith(kind)] for kind in kinds}
    first, second = named["batch_normalization"][0], named["conv2d"][1]
    gamma, beta, *moments = first.get_weights()
    (kernel,) = second.get_weights()
    gamma[0], beta[0], kernel[:, :, 0] = gamma[0] * 1e4, beta[0] * 1e4, kernel[:, :, 0] / 1e4
    first.set_weights([gamma, beta, *moments])
    second.set_weights([kernel])
    model.save(path)
    return path


def test_a_file_that_fails_the_gate_leaves_the_others(
    host: Cli, broken: Path, digits: Path, tmp_path: Path
) -> None:
    out = tmp_path / "b"
    asked = ("--data", digits, "--int8", "--format", "tflite", "--out", out)
    done = host("export", broken, *asked, status=1)
    assert "int8       tflite" in done.stdout
    assert_error(done, "gate-export", "model-int8.tflite dropped", " and agrees on ")
    assert_error(done, "gate-export", f"The other files are in {out}; to accept: --max-drop ")
    assert "model-float32.tflite" not in error_line(done)
    manifest = json.loads((out / "manifest.json").read_text())
    (entry,) = manifest["artifacts"]
    names = {"manifest.json", "config.toml", "examples.npz", entry["file"]}
    assert {path.name for path in out.iterdir()} == names
    (failed,) = manifest["failed"]
    assert failed["file"] == "model-int8.tflite"
    assert failed["reasons"][0].startswith("dropped ")
    # The bundle is read as any other.
    assert Classifier(out).artifact.precision == "float32"
    results = json.loads(host("evaluate", out, "--data", digits, "--json").stdout)
    assert str(entry["accuracy"])[:4] in json.dumps(results)


def test_if_no_file_passes_the_gate_nothing_is_written(
    host: Cli, broken: Path, digits: Path, tmp_path: Path
) -> None:
    from edge_mnist.datasets import find
    from edge_mnist.system.progress import Progress
    from edge_mnist_export import pipeline
    from edge_mnist_export.conversion import source_model
    from edge_mnist_export.verification.gate import Gate

    options = pipeline.ExportOptions(("tflite",), ("float32",), gate=Gate(max_drop=-100))
    shown: list[str] = []
    with raises("gate-export", "model-float32.tflite dropped", "No bundle was written"):
        pipeline.export(
            source_model.find(broken),
            find(str(digits), own=True),
            tmp_path / "b",
            options,
            settings={},
            progress=Progress(quiet=True),
            show=shown.append,
        )
    assert any("float32    tflite" in text for text in shown)
    assert list(tmp_path.iterdir()) == []


def test_other_weights_than_those_of_run_json_are_refused(
    host: Cli, run: Path, tmp_path: Path
) -> None:
    import keras

    shutil.copytree(run, tmp_path / "run")
    model = keras.saving.load_model(run / "model.keras")
    model.set_weights([weight * 2 for weight in model.get_weights()])
    model.save(tmp_path / "run" / "model.keras")
    done = host("export", tmp_path / "run", status=2)
    assert_error(done, "model-weights-hash", "weights")


def test_only_the_requested_files_are_written(host: Cli, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "runs" / "mine")
    taken = tmp_path / "runs" / "mine" / "bundle"
    taken.mkdir()
    (taken / "manifest.json").touch()
    # A second export gets another name, and an existing --out is refused.
    out = host("export", "--format", "onnx", cwd=tmp_path).stdout
    bundle = taken.with_name("bundle-2")
    assert out.endswith(f"Wrote {bundle.relative_to(tmp_path)}\n")
    names = {"manifest.json", "config.toml", "examples.npz", "model-float32.onnx"}
    assert {path.name for path in bundle.iterdir()} == names
    assert "synthetic-test, 10,000 images" in out
    done = host("export", "--out", taken, cwd=tmp_path, status=2)
    assert_error(done, "output-exists", "the")


def test_a_bad_run_is_named_and_nothing_is_written(host: Cli, run: Path, tmp_path: Path) -> None:
    import keras

    done = host("export", cwd=tmp_path, status=2)
    assert_error(done, "bundle-run-missing", "runs")
    done = host("export", "nowhere", cwd=tmp_path, status=2)
    assert_error(done, "bundle-run-missing", "nowhere")
    record = json.loads((run / "run.json").read_text())
    broken = tmp_path / "run"
    broken.mkdir()
    (broken / "run.json").write_text(json.dumps({**record, "status": "running"}))
    assert_error(host("export", broken, status=2), "bundle-run-unfinished")
    (broken / "run.json").write_text(json.dumps(record))
    assert_error(host("export", broken, status=2), "model-keras-file", "model.keras", "nothing")
    (broken / "model.keras").write_bytes(b"PK\x03\x04 not a zip after all")
    assert_error(
        host("export", broken, status=2), "model-keras-file", "model.keras", "something else"
    )
    flat = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
    flat.save(broken / "model.keras")
    done = host("export", broken, status=2)
    assert_error(done, "model-input-shape", "784")
    assert sorted(path.name for path in broken.iterdir()) == ["model.keras", "run.json"]


@pytest.mark.parametrize("formats", ["", "tflite,tflite", "pb", "onnx,,"])
def test_bad_formats_are_named(host: Cli, formats: str) -> None:
    done = host("export", "--format", formats, status=2)
    assert "expected any of tflite, onnx, c, html" in error_line(done)


@pytest.mark.usefixtures("all_pictures")
def test_two_exports_are_byte_identical(host: Cli, run: Path, bundle: Path, tmp_path: Path) -> None:
    # The first was the only one of its process. Here, others may have come before.
    host("export", run, *EVERYTHING, "--out", tmp_path / "again")
    for path in bundle.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name
