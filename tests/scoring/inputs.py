"""Inputs of `score`, and its results as rows."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from edge_mnist.vision.preprocess import preprocess
from tests.conftest import REPOSITORY

DIGITS = REPOSITORY / "examples" / "digits"


def images(count: int) -> NDArray[np.uint8]:
    """Return digits (count, 28, 28), no two of them the same."""
    digits = np.array([preprocess(picture) for picture in pictures().values()])
    found = np.resize(digits, (count, 28, 28))
    found[:, 0, 0], found[:, 0, 1] = np.arange(count) % 256, np.arange(count) // 256
    return found


def pictures() -> dict[str, bytes]:
    """Return the pictures of ten digits by their names."""
    return {path.name: path.read_bytes() for path in sorted(DIGITS.glob("*.png"))}


def write_tar(path: Path, members: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    """Write an archive of files, and of members that are given whole."""
    with tarfile.open(path, "w") as archive:
        for name, member in members.items():
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(member, bytes):
                info.size = len(member)
            archive.addfile(info, io.BytesIO(member if isinstance(member, bytes) else b""))
    return path


def results(output: Path) -> list[Path]:
    """Return all results. A hidden file is a temporary one, perhaps of a killed worker."""
    return sorted(output.glob("[!.]*.parquet"))


def rows(output: Path) -> list[dict[str, Any]]:
    """Return the rows of all results, in the order of their files."""
    return [row for file in results(output) for row in pyarrow.parquet.read_table(file).to_pylist()]
