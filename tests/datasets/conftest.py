"""Fixtures of the data sets' tests: an empty cache, mirrors and the real MNIST."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_mnist.datasets import download, idx, mnist
from tests.datasets.support import Mirror

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "mnist"
_AT_START = os.environ.get("EDGE_MNIST_DATA")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder. There is no EDGE_MNIST_DATA, no proxy and no mirror yet."""
    for name in ("EDGE_MNIST_DATA", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "MIRRORS", ())
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(home / ".cache"))
    return mnist.cache_folder()


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Mirror]]:
    """Return a function that starts a mirror, which is used after those started before."""
    running: list[Mirror] = []

    def start(content: dict[str, bytes], **faults: Any) -> Mirror:
        running.append(Mirror(content, **faults))
        monkeypatch.setattr(download, "MIRRORS", tuple(mirror.url for mirror in running))
        return running[-1]

    yield start
    for mirror in running:
        mirror.shutdown()
        mirror.server_close()


@pytest.fixture(scope="session")
def real() -> Path:
    """Return a folder with MNIST's four .gz files."""
    for folder in (Path(_AT_START) if _AT_START else SHARED, SHARED):
        if all((folder / file.archive).is_file() for file in idx.ALL_FILES):
            return folder
    pytest.skip(f"needs MNIST's four .gz files in $EDGE_MNIST_DATA or {SHARED}")


@pytest.fixture(scope="session")
def test_archives(real: Path) -> dict[str, bytes]:
    return {file.archive: (real / file.archive).read_bytes() for file in idx.FILES["test"]}


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of a mirror at a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    monkeypatch.setattr(download, "MIRRORS", (url,))
    return url
