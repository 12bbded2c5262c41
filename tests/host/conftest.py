"""A small run and its bundle, made once a session by the command line on the stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli

EVERYTHING = ("--int8", "--fp16", "--dynamic", "--max-drop", "1", "--min-agreement", "97")
SMALL = ("--data", "synthetic", "--limit", "6000", "--epochs", "3", "--arch", "seed")


@pytest.fixture(scope="session")
def run(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the seed CNN on 6,000 drawn digits."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    cli("train", *SMALL, "--out", folder)
    return folder


@pytest.fixture(scope="session")
def bundle(cli: Cli, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every precision of that run, in both formats."""
    folder = tmp_path_factory.mktemp("bundles") / "every"
    # 6,000 images make no settled model; one point leaves room for what rounding tips over.
    cli("export", run, *EVERYTHING, "--out", folder)
    return folder
