"""The accuracies that the project promises, and what `edge-mnist quickstart` leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Cli, find_mnist
from tests.export.conftest import record


def test_quickstart_reads_mnist_and_int8_loses_nothing(quickstarted: Path, mnist: Path) -> None:
    # After three epochs, in less than a minute.
    (run,) = (quickstarted / "runs").iterdir()
    results = record(run)["results"]
    assert results["test_data"] == "mnist-test"
    assert results["test_accuracy"] >= 0.985
    manifest = json.loads((run / "bundle" / "manifest.json").read_text())
    accuracy = {entry["file"]: entry["accuracy"] for entry in manifest["artifacts"]}
    for format in ("tflite", "onnx"):
        drop = accuracy[f"model-float32.{format}"] - accuracy[f"model-int8.{format}"]
        assert drop <= 0.001


def test_quickstart_creates_all_files_and_prints_all_reports(cli: Cli, quickstarted: Path) -> None:
    (run,) = (quickstarted / "runs").iterdir()
    created = {"model.keras", "run.json", "history.csv", "curves.png", "config.toml", "bundle"}
    assert {path.name for path in run.iterdir()} == created
    stdout = (quickstarted / "stdout").read_text()
    for figure in ("test accuracy", "int8       tflite", "Confusion of model-int8", "p50 µs"):
        assert figure in stdout
    assert stdout.count("mnist-t" if find_mnist() else "synthetic-t") >= 4
    steps = stdout.partition("\nNext:\n")[2].splitlines()
    assert len(steps) == 3
    # The printed next step works as it is.
    command = steps[0].partition("edge-mnist ")[2].split()
    assert len(cli(*command, cwd=quickstarted).stdout.splitlines()) == 10


def test_a_model_of_synthetic_digits_reads_mnist(cli: Cli, bundle: Path, mnist: Path) -> None:
    evaluated = cli("evaluate", bundle, "--data", mnist, "--json").stdout
    document = json.loads(evaluated)
    assert document["data"] == "mnist-test"
    assert all(result["accuracy"] >= 0.95 for result in document["results"])
