"""Keys, signed bundles, and folders of trusted keys that are nobody's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_mnist.bundle import MANIFEST, SIGNATURE
from edge_mnist_export.bundles import secret_key
from edge_mnist_export.bundles.secret_key import SecretKey
from tests.conftest import WHOLE


@pytest.fixture
def key() -> SecretKey:
    return secret_key.generate()


@pytest.fixture
def other() -> SecretKey:
    return secret_key.generate()


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This user's folder of trusted keys, which exists and is empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "edge-mnist" / "trusted"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def signed(tmp_path: Path, key: SecretKey) -> Path:
    """A bundle that `key` signed."""
    folder = tmp_path / "bundle"
    shutil.copytree(WHOLE, folder)
    sign(folder, key)
    return folder


def sign(folder: Path, key: SecretKey, **options: str) -> None:
    """Sign a folder's manifest as it is."""
    content = (folder / MANIFEST).read_bytes()
    (folder / SIGNATURE).write_text(key.sign(content, **options))


def write_public(key: SecretKey, path: Path) -> Path:
    """Write the public half as a file of minisign."""
    path.write_text(key.files(None)[1])
    return path
