"""benchmarks/: installed contenders run, and the table shows their results."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import Classifier, EdgeMnistError, backends
from edge_mnist.benchmark.compare import compare
from edge_mnist.bundle import MODELS
from edge_mnist.datasets import synthetic
from tests.conftest import WHOLE

FOLDER = Path(__file__).parents[2] / "benchmarks"
INSTALLED = [runtime.backend for runtime in backends.installed() if not runtime.int8_only]
TOOLS = {"litert": "litert", "tflite": "tflite", "onnx": "onnxruntime"}


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("show")


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("reference")


@pytest.mark.parametrize("script", ["run.py", "training.py", "reference.py", "array_path.py"])
def test_the_commands_start(script: str) -> None:
    command = [sys.executable, FOLDER / script, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: " in done.stdout


def test_predict_stands_beside_the_loop_by_hand_in_every_runtime() -> None:
    command = [sys.executable, FOLDER / "array_path.py", "--data", "synthetic", "--rounds", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    loops = [runtime.backend for runtime in backends.installed()]
    loops += ["onnx_bound"] if "onnx" in loops else []
    assert [row[:2] for row in rows] == [[model, loop] for model in MODELS for loop in loops]
    assert all(float(ratio) > 0 for row in rows for ratio in row[4:])


@pytest.mark.parametrize("precision", ["int8", "float32"])
@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("ours", [True, False])
def test_a_contender_gives_the_same_digits_as_classifier(
    backend: str, precision: str, ours: bool, tmp_path: Path
) -> None:
    images = synthetic.draw(np.arange(10), seed=3)
    np.save(tmp_path / "images.npy", images)
    file = WHOLE / f"model-{precision}.{backends.RUNTIMES[backend].format}"
    tool = "edge_mnist" if ours else TOOLS[backend]
    requests = [{"read": 10}, {"batch": 4, "seconds": 0.01}]
    done = subprocess.run(
        [sys.executable, FOLDER / "contender.py", tool, file, "1", tmp_path / "images.npy"],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        check=True,
    )
    first, read, timed = map(json.loads, done.stdout.splitlines())
    expected = Classifier(file, backend=backend).predict_batch(images).tolist()
    assert read["digits"] == expected
    assert first["first"] == expected[:1]
    assert len(timed["ns"]) >= 3 and min(timed["ns"]) > 0


def row(contender: str, p50: float, **more: Any) -> dict[str, Any]:
    return {
        "contender": contender,
        "arch": "seed",
        "precision": "int8",
        "threads": 1,
        "error": None,
        "accuracy": 0.99,
        "predict_us": {"p50": p50, "ci95": {"p50": [p50 - 0.1, p50 + 0.1]}},
        "images_per_second": {"1": 1e6 / p50, "16": 2e6 / p50},
        "cold_ms": 80.0,
        "peak_rss_mb": 50.0,
        "installed_mb": 120.0,
        **more,
    }


def test_the_table_has_the_fastest_of_each_and_ratios(show: Any) -> None:
    rows = [
        row("edge-mnist, seed", 20.0),
        row("other", 60.0),
        row("other", 40.0, precision="float32"),
        row("other", 30.0, threads=2),
        row("broken", 1.0, error="reads 10.0% of 500 images"),
    ]
    place = {"cpu": "A processor", "cpus": 2, "python": "3.11"}
    text = show.table({"rows": rows, "environment": place, "date": "2026-01-02T03"})
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [line[0] for line in lines] == ["| **edge-mnist, seed**", "| other"]
    assert lines[1][1:6] == ["seed, float32", "99.0", "40.0", "2.00", "30.0"]
    assert "broken" not in text


def test_only_the_text_between_the_marks_is_replaced(show: Any, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("before <!-- here -->\nold\n<!-- /here --> after", encoding="utf-8")
    show.write_between(file, "here", "new")
    assert file.read_text(encoding="utf-8") == "before <!-- here -->\nnew\n<!-- /here --> after"
    with pytest.raises(EdgeMnistError, match="Expected <!-- there -->"):
        show.write_between(file, "there", "new")


def test_each_board_has_its_own_reference_file(reference: Any) -> None:
    place = {"cpu": "Raspberry Pi 4 Model B Rev 1.4", "cpus": 4}
    assert reference.path_for(place).name == "raspberry-pi-4-model-b-rev-1-4-4.json"
    place = {"cpu": "Intel(R) Xeon(R) Processor", "cpus": 2}
    kept = json.loads(reference.path_for(place).read_text(encoding="utf-8"))
    now = {**kept, "results": [dict(row, sha256="other") for row in kept["results"]]}
    lines = reference.comparison(now, {**kept, "results": kept["results"][1:]})
    assert lines[0].endswith("no reference")
    assert all(line.endswith("ratio 1.00; another model") for line in lines[1:])


def test_compare_reads_every_reference_file() -> None:
    files = list((FOLDER / "reference").glob("*.json"))
    assert files
    for file in files:
        rows = json.loads(file.read_text(encoding="utf-8"))["results"]
        assert [change.ratio for change in compare(file, file).changes] == [1.0] * len(rows)
