"""Space files: the trials that they span, and what is wrong with bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_mnist_export.sweeps import space
from edge_mnist_export.sweeps.space import Asha, Space
from tests.errors import raises


def read(folder: Path, text: str) -> Space:
    path = folder / "space.yaml"
    path.write_text(text)
    return space.read(path)


def test_every_combination_is_a_trial_with_a_readable_name(tmp_path: Path) -> None:
    text = """
    fixed: {recipe: full, data: mnist}
    vary: {arch: [nano, edge], seed: [0, 1], learning-rate: [1e-3]}
    asha: {reduction_factor: 3}
    """
    found = read(tmp_path, text)
    assert [trial.name for trial in found.trials] == [
        "nano-full-seed0-learning_rate0.001",
        "edge-full-seed0-learning_rate0.001",
        "nano-full-seed1-learning_rate0.001",
        "edge-full-seed1-learning_rate0.001",
    ]
    first = {"recipe": "full", "data": "mnist", "arch": "nano", "seed": 0, "learning_rate": 1e-3}
    assert found.trials[0].options == first
    assert found.varied == ("arch", "seed", "learning_rate")
    assert found.asha == Asha(grace_period=1, reduction_factor=3)


def test_samples_are_drawn_the_same_again_and_fit_into_names(tmp_path: Path) -> None:
    text = """
    vary: {arch: [nano, edge], seed: {randint: [0, 9]}, learning_rate: {loguniform: [1e-3, 1e-1]}}
    samples: 20
    sample_seed: 3
    """
    trials = read(tmp_path, text).trials
    assert trials == read(tmp_path, text).trials
    assert trials != read(tmp_path, text.replace("sample_seed: 3", "sample_seed: 4")).trials
    assert len({trial.name for trial in trials}) == 20
    for options in (trial.options for trial in trials):
        assert type(options["seed"]) is int
        assert 1e-3 <= options["learning_rate"] <= 1e-1
        assert len(str(options["learning_rate"])) <= len("0.001234")


def test_what_is_drawn_twice_is_one_trial(tmp_path: Path) -> None:
    trials = read(tmp_path, "{vary: {arch: [nano, edge]}, samples: 50}").trials
    assert sorted(trial.name for trial in trials) == ["edge", "nano"]


def test_names_are_unique_and_stay_in_their_folder(tmp_path: Path) -> None:
    values: list[Any] = ["../a b", "../a/b", None, "..", "x" * 300]
    trials = read(tmp_path, yaml.safe_dump({"vary": {"teacher": values}})).trials
    names = [trial.name for trial in trials]
    assert len(set(names)) == len(values)
    assert all("/" not in name and name.strip(".") and len(name) <= 110 for name in names)


@pytest.mark.parametrize(
    ("text", "details"),
    [
        ("{", "Expected YAML in"),
        ("", "got None"),
        ("{}", "at least one option under vary"),
        ("{vary: {arch: []}}", "a list of values for arch, or samples"),
        ("{vary: {seed: {randint: [0, 9]}}}", "a list of values for seed, or samples"),
        ("{vary: {arch: [nano]}, sample: 3}", "as keys of the file in"),
        ("{vary: {epoch: [1]}}", "got epoch"),
        ("{vary: {data: [mnist, synthetic]}}", "got data"),
        ("{vary: [arch]}", "got ['arch']"),
        ("{fixed: {seed: 1}, vary: {seed: [0]}}", "got seed under both"),
        ("{vary: {seed: [0]}, samples: 0}", "samples to be a whole number of at least 1"),
        ("{vary: {seed: [0]}, sample_seed: 1}", "sample_seed with samples"),
        ("{vary: {seed: {randint: [9, 0]}}, samples: 2}", "the lower first"),
        ("{vary: {seed: {normal: [0, 9]}}, samples: 2}", "one of uniform, loguniform"),
        ("{vary: {learning_rate: {loguniform: [0, 1]}}, samples: 2}", "two bounds"),
        ("{vary: {seed: 3}, samples: 2}", "two bounds"),
        ("{vary: {seed: [0]}, asha: {grace_period: 0}}", "grace_period to be a whole number"),
        ("{vary: {seed: [0]}, asha: {reduction_factor: 1}}", "of at least 2"),
        ("{vary: {seed: [0]}, asha: {metric: loss}}", "got metric"),
        (f"vary: {{seed: {[*range(200)]}, epochs: {[*range(200)]}}}", "at most 10,000 trials"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, details: str) -> None:
    with raises("model-sweep-space", "space.yaml", details):
        read(tmp_path, text)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with raises("model-sweep-space", "a space file", "No such file"):
        space.read(tmp_path / "none.yaml")
