"""A small run on synthetic digits and its bundle, created once by the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, once

EVERYTHING = ("--int8", "--fp16", "--dynamic", "--max-drop", "1", "--min-agreement", "97")
SMALL = ("--data", "synthetic", "--limit", "6000", "--epochs", "3", "--arch", "seed")


def record(run: Path) -> dict[str, Any]:
    """Return the parsed run.json of a run folder."""
    return dict(json.loads((run / "run.json").read_text()))


def history(run: Path) -> list[dict[str, str]]:
    """Return the rows of history.csv in a run folder."""
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def run(cli: Cli, together: Path) -> Path:
    """A finished run of the seed CNN on 6,000 drawn digits."""
    return once(together / "run", lambda path: cli("train", *SMALL, "--out", path))


@pytest.fixture(scope="session")
def bundle(cli: Cli, run: Path, together: Path) -> Path:
    """Every precision of that run, in both formats."""
    # After 6,000 images many predictions are close, so rounding changes up to a point of them.
    return once(together / "bundle", lambda path: cli("export", run, *EVERYTHING, "--out", path))
