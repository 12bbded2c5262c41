"""The figures that the project promises, on the real data, and the command that begins it all."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Cli


def test_the_seed_cnn_on_mnist(cli: Cli, mnist: Path, tmp_path: Path) -> None:
    # The other test process has the other core: on two threads each takes half as long again.
    # oneDNN is what TensorFlow uses by itself where there is VNNI; elsewhere it is faster for this.
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
    """A folder in which quickstart has run on the stand-in, and what it said."""
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    return folder, cli("quickstart", "--data", "synthetic", "--epochs", "1", cwd=folder)


def test_quickstart_makes_and_shows_everything(
    cli: Cli, quickstarted: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    folder, done = quickstarted
    (run,) = (folder / "runs").iterdir()
    made = {"model.keras", "run.json", "history.csv", "curves.png", "bundle"}
    assert {path.name for path in run.iterdir()} == made
    for figure in ("test accuracy", "int8       tflite", "Confusion of model-int8", "p50 µs"):
        assert figure in done.stdout
    assert done.stdout.count("synthetic-t") >= 4
    steps = done.stdout.partition("\nNext:\n")[2].splitlines()
    assert len(steps) == 3
    # What it tells the user to type next works as it stands.
    command = steps[0].partition("edge-mnist ")[2].split()
    assert len(cli(*command, cwd=folder).stdout.splitlines()) == 10


def test_the_stand_in_alone_teaches_real_handwriting(
    cli: Cli, mnist: Path, quickstarted: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    (run,) = (quickstarted[0] / "runs").iterdir()
    document = json.loads(cli("evaluate", run / "bundle", "--data", mnist, "--json").stdout)
    assert document["data"] == "mnist-test"
    assert len(document["results"]) == 4
    assert all(result["accuracy"] >= 0.95 for result in document["results"])
