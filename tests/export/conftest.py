"""A small run on synthetic digits and its bundle, created once."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist.datasets import synthetic
from tests.conftest import Cli, once

EVERYTHING = ("--int8", "--fp16", "--dynamic")
DRAWN = ("--data", "synthetic", "--arch", "edge", "--recipe", "plain")
SMALL = (*DRAWN, "--limit", "20000", "--epochs", "3")
# Learns next to nothing: for tests of everything else.
TINY = (*DRAWN, "--limit", "1200", "--epochs", "2", "--seed", "3")


def record(run: Path) -> dict[str, Any]:
    """Return the parsed run.json of a run folder."""
    return dict(json.loads((run / "run.json").read_text()))


def history(run: Path) -> list[dict[str, str]]:
    """Return the rows of history.csv in a run folder."""
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def digits(together: Path) -> Path:
    """1,000 drawn digits to calibrate with and 500 to verify with, as a user's own data."""

    def make(path: Path) -> None:
        arrays = {}
        for name, split, count in (("train", "train", 1000), ("test", "test", 500)):
            arrays[f"x_{name}"], arrays[f"y_{name}"] = synthetic.split(split, limit=count)
        part = path.with_name("part.npz")
        np.savez(part, **arrays)
        part.rename(path)

    return once(together / "digits.npz", make)


@pytest.fixture(scope="session")
def run(host: Cli, together: Path) -> Path:
    """A finished run of `edge` on 20,000 drawn digits."""
    return once(together / "run", lambda path: host("train", *SMALL, "--out", path))


@pytest.fixture(scope="session")
def tiny(host: Cli, together: Path) -> Path:
    """A finished run of the least training."""
    return once(together / "tiny", lambda path: host("train", *TINY, "--out", path))


@pytest.fixture(scope="session")
def bundle(cli: Cli, run: Path, together: Path) -> Path:
    """Every precision of that run, in both formats; by a process of its own."""
    return once(together / "bundle", lambda path: cli("export", run, *EVERYTHING, "--out", path))
