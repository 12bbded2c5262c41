"""Shared by the tests of the store: an empty store, and bundles to install."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge_mnist.bundle import MANIFEST, SIGNATURE
from edge_mnist.bundle.installed import VARIABLE
from edge_mnist.store import Store
from tests.conftest import SHIPPED

EDGE, NANO = SHIPPED, SHIPPED.parent / "nano"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, which the environment names."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "store"))
    return Store()


def numbers(store: Store) -> list[int]:
    return [generation.number for generation in store.generations()]


def tree(folder: Path) -> dict[str, str | bytes]:
    """Return every path below a folder with its content or its target, without the lock."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else "folder"
        for path in sorted(folder.rglob("*"))
        if path.name != "lock"
    }


def variant(folder: Path, number: int, *, of: Path = NANO) -> Path:
    """Return a copy of a bundle whose manifest differs from every other variant's."""
    shutil.copytree(of, folder, ignore=shutil.ignore_patterns(SIGNATURE))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["tools"]["variant"] = str(number)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder
