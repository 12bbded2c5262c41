"""The accuracies that the project promises, on real MNIST, and `edge-mnist quickstart`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Cli


@pytest.mark.train
def test_the_seed_cnn_on_mnist(cli: Cli, mnist: Path, tmp_path: Path) -> None:
    # One thread, because another test process uses the other core. oneDNN is faster here; without
    # VNNI TensorFlow does not use it by default.
    fastest = {"TF_NUM_INTRAOP_THREADS": "1", "TF_ENABLE_ONEDNN_OPTS": "1"}
    cli("train", "--data", mnist, "--arch", "seed", "--out", tmp_path / "run", env=fastest)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["results"]["test_data"] == "mnist-test"
    assert record["results"]["test_accuracy"] >= 0.990
    table = cli("export", tmp_path / "run", "--int8", "--out", tmp_path / "bundle").stdout
    assert table.startswith("mnist-test, 10,000 images; Keras 99.")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    accuracy = {entry["file"]: entry["accuracy"] for entry in manifest["artifacts"]}
    for format in ("tflite", "onnx"):
        drop = accuracy[f"model-float32.{format}"] - accuracy[f"model-int8.{format}"]
        assert drop <= 0.001


@pytest.fixture(scope="module")
def quickstarted(
    cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which quickstart ran on synthetic digits, and its output."""
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    return folder, cli("quickstart", "--data", "synthetic", "--epochs", "1", cwd=folder)


@pytest.mark.train
def test_quickstart_creates_all_files_and_prints_all_reports(
    cli: Cli, quickstarted: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    folder, done = quickstarted
    (run,) = (folder / "runs").iterdir()
    created = {"model.keras", "run.json", "history.csv", "curves.png", "bundle"}
    assert {path.name for path in run.iterdir()} == created
    for figure in ("test accuracy", "int8       tflite", "Confusion of model-int8", "p50 µs"):
        assert figure in done.stdout
    assert done.stdout.count("synthetic-t") >= 4
    steps = done.stdout.partition("\nNext:\n")[2].splitlines()
    assert len(steps) == 3
    # The printed next step works as it is.
    command = steps[0].partition("edge-mnist ")[2].split()
    assert len(cli(*command, cwd=folder).stdout.splitlines()) == 10


@pytest.mark.train
def test_a_model_of_synthetic_digits_reads_mnist(
    cli: Cli, mnist: Path, quickstarted: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    (run,) = (quickstarted[0] / "runs").iterdir()
    document = json.loads(cli("evaluate", run / "bundle", "--data", mnist, "--json").stdout)
    assert document["data"] == "mnist-test"
    assert len(document["results"]) == 4
    assert all(result["accuracy"] >= 0.95 for result in document["results"])
