"""Sweeps by Ray Tune on this machine: real processes, real trainings."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist.system.temporary import locked
from edge_mnist_export.sweeps.worker import Job, complete
from tests.conftest import Cli
from tests.errors import assert_error, raises
from tests.export.conftest import history, record

# `pico` is too large for images of this size, so its trials fail.
SIDE = 20
SPACE = """
fixed: {data: pictures, size: [20, 20, 1], epochs: 3}
vary: {arch: [edge, pico], seed: [0, 1]}
asha: {grace_period: 3}
"""
FILES = {"config.toml", "curves.png", "history.csv", "model-int8.tflite", "model.keras"}


def draw_pictures(folder: Path) -> None:
    """Write dark and light pictures; those of the test set are broken."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 20)):
        for name, low in (("dark", 0), ("light", 150)):
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(low, low + 100, (SIDE, SIDE)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")
    for path in (folder / "test").rglob("*.png"):
        path.with_suffix(".whole").write_bytes(path.read_bytes())
        path.write_bytes(b"no picture")


def repair_pictures(folder: Path) -> None:
    """Restore the pictures of the test set."""
    for path in folder.rglob("*.whole"):
        path.replace(path.with_suffix(".png"))


@contextlib.contextmanager
def killed_at_its_first_checkpoint(folder: Path) -> Iterator[None]:
    """Kill the process that trains in `folder`, as a system short of memory does."""

    def kill() -> None:
        while not any(folder.glob("checkpoint-*.keras")):
            time.sleep(0.01)
        os.kill(_locker(folder), signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    yield
    thread.join(1)
    assert not thread.is_alive()


def _locker(folder: Path) -> int:
    """Return the process that has opened, and so locked, a folder."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.readlink() == folder:
                return int(link.parts[2])
    raise AssertionError(folder)


@pytest.mark.slow
@pytest.mark.train
def test_a_sweep_survives_a_dead_process_and_reads_the_test_set_last(
    host: Cli, tmp_path: Path
) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    draw_pictures(tmp_path / "pictures")
    out = tmp_path / "out"
    command = ("sweep", "space.yaml", "--out", "out", "--at-once", "1")
    with killed_at_its_first_checkpoint(out / "edge-seed0"):
        unread = host(*command, cwd=tmp_path, status=2)
    assert_error(unread, "image-format", "test/")
    trials = {one["trial"]: one for one in json.loads((out / "sweep.json").read_text())["trials"]}
    assert trials["edge-seed0"]["error"].startswith("its process died")
    assert "large enough for the convolutions of pico" in trials["pico-seed1"]["error"]
    assert trials["edge-seed1"]["epochs_trained"] == 3
    assert trials["edge-seed1"]["fronts"] == ["size", "latency"]
    assert trials["edge-seed1"]["int8_test_accuracy"] is None

    done = (out / "edge-seed1" / "run.json").stat()
    trained = history(out / "edge-seed0")
    assert len(trained) < 3
    repair_pictures(tmp_path / "pictures")
    failed = host(*command, cwd=tmp_path, status=1)
    assert_error(failed, "gate-sweep", "got 2 of 4")
    assert "test set not read" not in failed.stdout
    assert (out / "edge-seed1" / "run.json").stat() == done
    assert history(out / "edge-seed0")[: len(trained)] == trained
    for name in ("edge-seed0", "edge-seed1"):
        assert {path.name for path in (out / name).iterdir()} == FILES | {"run.json", "trial.json"}
        assert record(out / name)["epochs_trained"] == 3
        assert "test_accuracy" not in record(out / name)["results"]
        assert "test" not in record(out / name)["data"]
    trials = {one["trial"]: one for one in json.loads((out / "sweep.json").read_text())["trials"]}
    tested = {name for name, one in trials.items() if one["int8_test_accuracy"] is not None}
    assert tested == {name for name, one in trials.items() if one["fronts"]} != set()
    assert {path.name for path in out.iterdir()} == {
        *("space.json", "sweep.json", "sweep.csv", "sweep.svg", "edge-seed0", "edge-seed1")
    }

    with locked(out):
        assert_error(host(*command, cwd=tmp_path, status=2), "output-sweep-locked")
    (tmp_path / "space.yaml").write_text(SPACE.replace("epochs: 3", "epochs: 2"))
    assert_error(host(*command, cwd=tmp_path, status=2), "output-sweep-space")


@pytest.mark.parametrize(
    ("space", "code", "details"),
    [
        ("{vary: {arch: [nano, mini]}}", "model-option", "got 'mini'"),
        ("{vary: {epochs: [0]}}", "model-option", "got 0"),
        ("{vary: {learning_rate: [fast]}}", "model-option", "got 'fast'"),
        ("{fixed: {recipe: plain}, vary: {temperature: [2]}}", "model-temperature", ""),
        ("{fixed: {data: nowhere}, vary: {seed: [0]}}", "data-path", "nowhere"),
        ("{fixed: {data: 3}, vary: {seed: [0]}}", "model-option", "data to be a name or a path"),
    ],
)
def test_a_wrong_option_is_one_line_and_writes_nothing(
    host: Cli, tmp_path: Path, space: str, code: str, details: str
) -> None:
    (tmp_path / "space.yaml").write_text(space)
    done = host("sweep", "space.yaml", "--out", "out", cwd=tmp_path, status=2)
    assert_error(done, code, details)
    assert not (tmp_path / "out").exists()


def test_keras_on_jax_is_refused(
    host: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    (tmp_path / "space.yaml").write_text("{fixed: {data: synthetic}, vary: {seed: [0]}}")
    done = host("sweep", "space.yaml", cwd=tmp_path, status=2)
    assert_error(done, "model-sweep-backend")


def test_a_machine_without_the_folder_says_so() -> None:
    job = Job(folder="/nowhere/sweep/edge-seed0", options={}, recipe={}, cpus=1)
    with raises("cluster-folder", "/nowhere/sweep"):
        complete(job, lambda epoch, accuracy: None)


def test_a_machine_with_other_data_says_so(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "pictures")
    options = {"data": str(tmp_path / "pictures"), "size": [SIDE, SIDE, 1]}
    job = Job(folder=str(tmp_path / "edge"), options=options, recipe={}, cpus=1)
    with raises("cluster-data"):
        complete(job, lambda epoch, accuracy: None)
