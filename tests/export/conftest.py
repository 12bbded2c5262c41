"""A small run on synthetic digits and its bundle, created once by the command line."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli

EVERYTHING = ("--int8", "--fp16", "--dynamic", "--max-drop", "1", "--min-agreement", "97")
SMALL = ("--data", "synthetic", "--limit", "6000", "--epochs", "3", "--arch", "seed")


@pytest.fixture(scope="session")
def run(cli: Cli, together: Path) -> Path:
    """A finished run of the seed CNN on 6,000 drawn digits."""
    return _once(together / "run", lambda path: cli("train", *SMALL, "--out", path))


@pytest.fixture(scope="session")
def bundle(cli: Cli, run: Path, together: Path) -> Path:
    """Every precision of that run, in both formats."""
    # After 6,000 images many predictions are close, so rounding changes up to a point of them.
    return _once(together / "bundle", lambda path: cli("export", run, *EVERYTHING, "--out", path))


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


def _once(path: Path, make: Callable[[Path], object]) -> Path:
    """Let the first process create `path` while the others wait for it."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make(path)
    return path
