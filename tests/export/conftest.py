"""A small run on synthetic digits and its bundle, created once."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

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
