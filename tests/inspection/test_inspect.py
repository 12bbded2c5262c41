"""The times of layers, and the command `inspect`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier, backends
from edge_mnist.bundle import find_artifacts
from edge_mnist.inspection import inspect as module
from edge_mnist.inspection.inspect import inspect, times
from tests.conftest import SHIPPED, WHOLE, Cli, drawn_bundle
from tests.errors import assert_error
from tests.evaluation.test_accuracy import first_row_model


def test_times_are_differences_that_sum_up_to_the_whole() -> None:
    found = times([1.0, 4.0, 3.0, 3.5, 9.0], rounds=7)
    # The second part took longer than the third: fused, or noise.
    assert found.layers_us == (2.0, 0.0, 0.5, 5.5)
    assert (found.call_us, found.whole_us, found.rounds) == (1.0, 9.0, 7)
    assert sum(found.layers_us) + found.call_us == found.whole_us


@pytest.mark.timing
@pytest.mark.parametrize("name", ["model-int8.tflite", "model-float32.onnx"])
def test_the_layers_take_about_as_long_as_the_runtime_needs(name: str) -> None:
    (artifact,) = find_artifacts(WHOLE / name)
    (runtime, *_) = backends.installed(artifact.format)
    inspection = inspect(artifact, runtime)
    assert inspection.times is not None
    invoke = Classifier.from_artifact(artifact, runtime).stages[1]
    values = Classifier.from_artifact(artifact, runtime).stages[0](np.zeros((28, 28), np.uint8))
    samples = []
    for _ in range(500):
        start = time.perf_counter_ns()
        invoke(values)
        samples.append(time.perf_counter_ns() - start)
    assert 0.4 < sum(inspection.times.layers_us) / (np.median(samples) / 1000) < 1.6
    # The convolutions have all but 0.5 % of the multiply-adds.
    work = zip(inspection.layers, inspection.times.layers_us, strict=True)
    convolutions = sum(one for layer, one in work if layer.name.startswith("Conv2D"))
    assert convolutions > 0.6 * sum(inspection.times.layers_us)


def test_json_of_the_shipped_model(cli: Cli) -> None:
    done = cli("inspect", "--backend", "onnx", "--json")
    document = json.loads(done.stdout)
    manifest = json.loads((SHIPPED / "manifest.json").read_text())
    assert document["file"] == "model-int8.onnx"
    assert document["totals"] == {
        "parameters": 19_322,
        "multiply_adds": 482_192,
        "weight_bytes": 19_640,
    }
    assert document["layers"][2]["output"]["shape"] == [1, 20, 14, 7]
    assert sum(layer["share"] for layer in document["layers"]) == pytest.approx(1, abs=1e-3)
    layers_us = sum(layer["time_us"] for layer in document["layers"])
    timing = document["timing"]
    assert layers_us + timing["call_us"] == pytest.approx(timing["whole_us"], abs=0.02)
    hashes = {entry["file"]: entry["sha256"] for entry in manifest["artifacts"]}
    assert document["model"]["file_sha256"] == hashes
    assert [entry["accuracy"] for entry in document["files"]] == [0.9961, 0.9961]
    assert document["provenance"]["architecture"] == "edge, 19,610 parameters in Keras"
    assert "seed 1" in document["provenance"]["training"]


@pytest.mark.slow
def test_text_of_another_precision(cli: Cli) -> None:
    lines = cli("inspect", WHOLE, "--precision", "float32").stdout.splitlines()
    table = lines[lines.index("model-float32.tflite") + 1 :]
    assert table[0].split()[:3] == ["layer", "output", "shape"]
    assert table[2].split()[:3] == ["2", "Conv2D", "4×2,"]
    totals = next(line for line in table if "all layers" in line)
    assert totals.split()[2:5] == ["19,322", "482,192", "77,288"]
    assert totals.endswith("100 %")


def test_a_foreign_file_has_layers_too(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "brightest.onnx"
    file.write_bytes(first_row_model())
    document = json.loads(cli("inspect", file, "--json").stdout)
    assert [layer["layer"] for layer in document["layers"]] == ["Reshape", "Dense", "Softmax"]
    assert document["totals"]["multiply_adds"] == document["totals"]["parameters"] == 784 * 5
    assert document["model"]["manifest_sha256"] is None
    assert document["files"][0]["accuracy"] is None
    assert document["timing"]["whole_us"] > 0


@pytest.mark.slow
def test_a_model_of_drawn_digits_is_called_that(cli: Cli, tmp_path: Path) -> None:
    text = cli("inspect", drawn_bundle(tmp_path / "bundle")).stdout
    assert "training data:  synthetic-train (drawn digits, not MNIST)" in text


def test_a_broken_foreign_file_is_refused(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes((WHOLE / "model-int8.tflite").read_bytes()[:5000])
    assert_error(cli("inspect", file, status=2), "model-malformed", "model.tflite")
    shutil.copytree(WHOLE, tmp_path / "bundle")
    (tmp_path / "bundle" / "model-int8.tflite").write_bytes(b"other")
    assert_error(cli("inspect", tmp_path / "bundle", status=2), "bundle-size")


def test_a_model_with_too_many_layers_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_LAYERS", 9)
    (artifact,) = find_artifacts(WHOLE / "model-int8.tflite")
    inspection = inspect(artifact, backends.get("litert"))
    assert inspection.times is None
    assert inspection.untimed == "10 layers, at most 9 are timed"
    assert inspection.multiply_adds == 482_192
