"""Training runs by `edge-mnist train`, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Cli
from tests.export.conftest import TINY, history, record

pytestmark = [pytest.mark.slow, pytest.mark.train]

COMMAND = Path(sys.executable).with_name("edge-mnist")


def test_a_finished_run_has_its_files_and_its_record(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names == {"model.keras", "run.json", "history.csv", "curves.png", "config.toml"}
    entry = record(run)
    assert entry["status"] == "finished"
    assert entry["parameters"] == 19_610
    assert entry["recipe"] == {
        "arch": "edge",
        "activation": "relu",
        "data": "synthetic",
        "labels": "sparse",
        "augment": False,
        "epochs": 3,
        "seed": 0,
        "batch_size": 128,
        "learning_rate": 3e-3,
        "warm_up_epochs": 1,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "variants": None,
        "teacher": None,
        "temperature": 1.0,
        "limit": 20_000,
        "backend": "tensorflow",
        "data_sha256": None,
        "height": 28,
        "width": 28,
        "channels": 1,
        "classes": 10,
    }
    assert entry["results"]["test_data"] == "synthetic-test"
    assert entry["results"]["test_accuracy"] > 0.8
    assert entry["device"]
    assert {"keras", "tensorflow", "numpy", "edge-mnist"} <= set(entry["tools"])
    rows = history(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    with Image.open(run / "curves.png") as picture:
        picture.load()


def test_another_seed_gives_another_model(host: Cli, tiny: Path, tmp_path: Path) -> None:
    host("train", *TINY, "--seed", "1", "--out", tmp_path / "other")
    assert record(tmp_path / "other")["weights_sha256"] != record(tiny)["weights_sha256"]


LONGER = (*TINY, "--epochs", "6")
MUON = ("--data", "synthetic", "--limit", "600", "--epochs", "6", "--arch", "pico")


@pytest.mark.parametrize(
    ("options", "how"), [(LONGER, signal.SIGKILL), (MUON, signal.SIGINT)], ids=["adam", "muon"]
)
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    host: Cli, tmp_path: Path, options: tuple[str, ...], how: signal.Signals
) -> None:
    run = tmp_path / "uninterrupted"
    host("train", *options, "--out", run)
    # Without --out, so that the same command has to find its unfinished run by itself.
    command = [COMMAND, "train", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/checkpoint-*.keras")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, how)
    _, errors = process.communicate(timeout=60)
    (folder,) = tmp_path.glob("runs/*")
    assert not (folder / "model.keras").exists()
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "the same command continues" in errors
        assert errors.endswith("edge-mnist: error: interrupted\n")
    done = host("train", *options, cwd=tmp_path)
    assert list(tmp_path.glob("runs/*")) == [folder]
    assert "Resuming " in done.stderr
    assert record(folder)["weights_sha256"] == record(run)["weights_sha256"]
    assert {path.name for path in folder.iterdir()} == {path.name for path in run.iterdir()}
    # Also to the byte: Keras must not count the optimizers of the process into the file.
    assert _optimizer_and_weights(folder) == _optimizer_and_weights(run)


def _optimizer_and_weights(run: Path) -> tuple[object, bytes]:
    with zipfile.ZipFile(run / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
        return config["compile_config"]["optimizer"]["config"], archive.read("model.weights.h5")


def test_one_hot_and_sparse_labels_are_the_same_loss(host: Cli, tiny: Path, tmp_path: Path) -> None:
    host("train", *TINY, "--labels", "one-hot", "--out", tmp_path / "run")
    paths = (tmp_path / "run", tiny)
    # The order of float32 sums differs, and epochs amplify the difference.
    one_hot, sparse = (record(path)["results"] for path in paths)
    assert one_hot["test_accuracy"] == pytest.approx(sparse["test_accuracy"], abs=0.01)
    one_hot, sparse = (float(history(path)[0]["loss"]) for path in paths)
    assert one_hot == pytest.approx(sparse, rel=1e-3)


def test_augmented_models_load_in_plain_keras(host: Cli, tmp_path: Path) -> None:
    small = ("--data", "synthetic", "--limit", "600", "--epochs", "2", "--arch", "edge")
    host("train", *small, "--out", tmp_path / "run")
    assert all(0 < float(row["accuracy"]) <= 1 for row in history(tmp_path / "run"))
    program = "import sys, keras; keras.saving.load_model(sys.argv[1]); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program, tmp_path / "run/model.keras"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "edge_mnist" not in loaded


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_other_activations_learn(host: Cli, tmp_path: Path, activation: str) -> None:
    host("train", *TINY, "--activation", activation, "--out", tmp_path / "run")
    losses = [float(row["loss"]) for row in history(tmp_path / "run")]
    assert losses[-1] < losses[0]
    assert record(tmp_path / "run")["recipe"]["activation"] == activation


def test_a_model_trained_on_jax_is_exported_by_tensorflow(
    cli: Cli, host: Cli, digits: Path, tmp_path: Path
) -> None:
    pytest.importorskip("jax", reason="needs jax: pip install jax")
    run = tmp_path / "run"
    done = cli("train", *TINY, "--out", run, env={"KERAS_BACKEND": "jax"})
    assert "Keras on jax, " in done.stderr
    assert record(run)["tools"]["jax"]
    asked = ("--data", digits, "--format", "tflite", "--out", tmp_path / "bundle")
    table = host("export", run / "model.keras", *asked).stdout
    # The same weights: float32 differs from Keras by rounding alone.
    assert "float32    tflite" in table and "100.00 %" in table
