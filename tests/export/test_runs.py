"""Run folders that are found, refused or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_mnist.errors import BundleError
from edge_mnist_export import runs
from tests.conftest import Cli
from tests.errors import assert_error, error_line, raises
from tests.export.conftest import SMALL, record

RECIPE = runs.Recipe(
    arch="nano", activation="relu", data="mnist", labels="sparse", augment=False, epochs=2, seed=0
)
ROW = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "seconds"), 0.5)


@pytest.mark.slow
@pytest.mark.train
def test_a_finished_run_is_not_trained_over(host: Cli, run: Path) -> None:
    before = (run / "run.json").read_bytes()
    done = host("train", *SMALL, "--out", run, status=2)
    assert_error(done, "output-run-finished", "run")
    assert (run / "run.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.train
def test_an_unfinished_run_of_other_settings_is_kept(host: Cli, run: Path, tmp_path: Path) -> None:
    entry = {**record(run), "status": "running"}
    (tmp_path / "run.json").write_text(json.dumps(entry))
    done = host("train", *SMALL, "--seed", "7", "--out", tmp_path, status=2)
    assert f"the settings of the unfinished run in {tmp_path} (seed 0), got" in error_line(done)
    assert list(tmp_path.iterdir()) == [tmp_path / "run.json"]


def test_the_newest_readable_run_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new", "foreign"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    runs.write_record(Path("runs/old"), RECIPE, status="finished")
    runs.write_record(Path("runs/new"), RECIPE, status="running")
    Path("runs/foreign/run.json").write_text("{}")
    assert [run.path.name for run in runs.list_runs(Path("runs"))] == ["new", "old"]
    assert runs.find(None).path.name == "old"
    assert runs.find_folder(RECIPE, None).name == "new"
    with pytest.raises(BundleError) as unfinished:
        runs.find(Path("runs/new"))
    assert unfinished.value.code == "bundle-run-unfinished"


def test_a_history_with_missing_epochs_cannot_be_resumed(tmp_path: Path) -> None:
    assert runs.read_history(tmp_path, 0) == []
    with raises("bundle-run-damaged", "history", "a history.csv that cannot be read"):
        runs.read_history(tmp_path, 1)
    rows = [{"epoch": 1, **ROW}, {"epoch": 2, **ROW}]
    runs.write_history(tmp_path, rows)
    assert runs.read_history(tmp_path, 1) == rows[:1]
    with raises("bundle-run-damaged", "with", "without epochs 1 to 3") as damaged:
        runs.read_history(tmp_path, 3)
    assert damaged.value.code == "bundle-run-damaged"


def test_only_one_process_trains_in_a_folder(tmp_path: Path) -> None:
    with runs.working(tmp_path / "run", RECIPE, {}):
        with raises("output-run-locked"), runs.working(tmp_path / "run", RECIPE, {}):
            pass
        assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.toml", "run.json"}
    with runs.working(tmp_path / "run", RECIPE, {}):
        pass


def test_a_run_folder_that_a_killed_process_was_making_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    half = runs.RUNS / ".edge-mnist-0a1b2c3d.tmp"
    half.mkdir(parents=True)
    runs.write_record(half, RECIPE, status="running")
    assert runs.list_runs(runs.RUNS) == []
    assert runs.find_folder(RECIPE, None).name.startswith("nano-")
    assert not half.exists()


@pytest.mark.parametrize("by_name", [True, False])
def test_a_checkpoint_that_a_killed_process_left_in_a_finished_run_is_deleted(
    by_name: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = runs.RUNS / "finished"
    run.mkdir(parents=True)
    runs.write_record(run, RECIPE, status="finished")
    (run / "checkpoint-0002.keras").touch()
    if by_name:
        with raises("output-run-finished"):
            runs.find_folder(RECIPE, run)
    else:
        runs.find_folder(RECIPE, None)
    assert [path.name for path in run.iterdir()] == ["run.json"]
