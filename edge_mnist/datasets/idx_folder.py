"""A folder with the four IDX files of a data set that imitates MNIST in; its arrays out.

Fashion-MNIST, KMNIST and EMNIST use MNIST's file names and format for other images.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from . import idx

_UINT8 = 8  # the type's number in an IDX header
_MAX_RANK = 4
_MAX_BYTES = 2**31


def is_idx_folder(folder: Path) -> bool:
    """Return whether the folder holds all four files, and none of them is MNIST's own.

    One file of MNIST beside three others is a damaged MNIST, not another data set.
    """
    found = idx.find_spellings(folder, idx.ALL_FILES)
    return len(found) == len(idx.ALL_FILES) and not any(map(_is_mnist, found, found.values()))


def load(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Return x_train, y_train, x_test and y_test, as an .npz of Keras has them.

    Raises:
        DataError: a file is damaged, too large, or not an IDX file of bytes.
    """
    found = idx.find_spellings(folder, idx.ALL_FILES)
    return {file.key: _read(path) for file, path in found.items()}


def _is_mnist(file: idx.MnistFile, path: Path) -> bool:
    try:
        idx.read_cached(path, file)
    except (OSError, idx.ContentError):
        return False
    return True


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if compressed else raw
            return _read_stream(stream)
    except (OSError, EOFError, ValueError, zlib.error, MemoryError) as error:
        raise DataError(
            f"Expected an IDX file of bytes at {path}, got {idx.describe(error)}; replace the file "
            f"with a fresh download",
            code="data-content",
        ) from error


def _read_stream(stream: IO[bytes] | gzip.GzipFile) -> NDArray[np.uint8]:
    """Read the header (see `idx.MnistFile.header`) and as many bytes as it states."""
    start = stream.read(4)
    if len(start) < 4 or start[:3] != bytes((0, 0, _UINT8)) or not 1 <= start[3] <= _MAX_RANK:
        raise ValueError(f"a file that begins with {start!r}")
    shape = tuple(int.from_bytes(stream.read(4), "big") for _ in range(start[3]))
    size_bytes = math.prod(shape)
    if size_bytes > _MAX_BYTES:
        raise ValueError(f"an array of shape {shape}, over {_MAX_BYTES} bytes")
    content = stream.read(size_bytes + 1)
    if len(content) != size_bytes:
        raise ValueError(f"{len(content)} bytes for an array of shape {shape}")
    return np.frombuffer(content, np.uint8).reshape(shape)
