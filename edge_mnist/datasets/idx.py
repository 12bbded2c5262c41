"""Read one of MNIST's four files: an IDX file (plain or gzip) or an .npz in, checked bytes out.

The decompressed content must have the SHA-256 of the original file, so that no mirror, cache or
folder has to be trusted. A read stops one byte after the expected size, so that a decompression
bomb takes no memory.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .split import SplitName

_MAX_NPZ_BYTES = 64 * 2**20  # the four arrays have 55 MB before compression


class ContentError(DataError):
    """A file does not hold MNIST. The message says what it holds instead, to follow "got"."""

    code = "data-content"


# Of the decompressed IDX files, headers included.
_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class MnistFile:
    """One of MNIST's four files.

    Attributes:
        name: as published, without .gz.
        key: the array's name in Keras's mnist.npz.
        shape: of the uint8 array.
    """

    name: str
    key: str
    shape: tuple[int, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the decompressed IDX file."""
        return _SHA256[self.name]

    @property
    def header(self) -> bytes:
        """The IDX header: two zero bytes, 8 for uint8, the rank, each axis as big-endian uint32."""
        rank = len(self.shape)
        return struct.pack(f">HBB{rank}I", 0, 8, rank, *self.shape)

    @property
    def size_bytes(self) -> int:
        """Size of the decompressed IDX file."""
        return len(self.header) + math.prod(self.shape)

    @property
    def archive(self) -> str:
        """The file's name at the mirrors and in the cache."""
        return f"{self.name}.gz"

    @property
    def spellings(self) -> tuple[str, ...]:
        """File names in circulation, the preferred first."""
        dotted = self.name.replace("-idx", ".idx")
        return (self.archive, self.name, f"{dotted}.gz", dotted)


FILES: dict[SplitName, tuple[MnistFile, MnistFile]] = {
    "train": (
        MnistFile("train-images-idx3-ubyte", "x_train", (60000, 28, 28)),
        MnistFile("train-labels-idx1-ubyte", "y_train", (60000,)),
    ),
    "test": (
        MnistFile("t10k-images-idx3-ubyte", "x_test", (10000, 28, 28)),
        MnistFile("t10k-labels-idx1-ubyte", "y_test", (10000,)),
    ),
}
ALL_FILES = (*FILES["train"], *FILES["test"])


def join_names(files: Sequence[MnistFile]) -> str:
    """Return the files' names for a message."""
    return ", ".join(file.name for file in files)


def find_spellings(folder: Path, files: Sequence[MnistFile]) -> dict[MnistFile, Path]:
    """Map the files that `folder` has to their paths, each under its preferred spelling."""
    places = {
        file: [place for name in file.spellings if (place := folder / name).is_file()]
        for file in files
    }
    return {file: present[0] for file, present in places.items() if present}


def read_array(path: Path, file: MnistFile) -> NDArray[np.uint8]:
    """Read `file` from `path` as a read-only array of `file.shape`, or raise DataError."""
    try:
        content = read_cached(path, file)
    except (OSError, ContentError) as error:
        raise DataError(
            f"Expected MNIST's {file.name} in {path}, got {describe(error)}; "
            "replace the file with a fresh download",
            code="data-content",
        ) from error
    return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)


def read_cached(path: Path, file: MnistFile) -> bytes:
    """Do as `read_content`, but decompress only once: `find` checks a file before `load` reads it.

    Raises FileNotFoundError where there is no file.
    """
    stat = path.stat()
    return _read_unchanged(path, file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=len(ALL_FILES))
def _read_unchanged(path: Path, file: MnistFile, _mtime_ns: int, _size_bytes: int) -> bytes:
    return read_content(path, file)


def read_content(path: Path, file: MnistFile) -> bytes:
    """Read `file`, IDX header and data, from an IDX file or an .npz, and check its SHA-256.

    Raises ContentError where the content is not MNIST's or cannot be read.
    """
    with _as_content_error():
        read = _read_npz if path.suffix.lower() == ".npz" else _read_idx
        content = read(path, file)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ContentError(_describe_content(content, file))
    return content


def _read_idx(path: Path, file: MnistFile) -> bytes:
    with path.open("rb") as raw:
        # Some browsers decompress a download and keep the .gz in its name.
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if compressed else raw
        return stream.read(file.size_bytes + 1)


def _read_npz(path: Path, file: MnistFile) -> bytes:
    if (size := path.stat().st_size) > _MAX_NPZ_BYTES:
        raise ContentError(f"an archive of {size} bytes, too large for MNIST")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if f"{file.key}.npy" not in names:
            raise ContentError(f"an archive without {file.key} (it begins with {names[:4]})")
        with archive.open(f"{file.key}.npy") as stream:
            return file.header + _read_npy(stream, file)


def _read_npy(stream: IO[bytes], file: MnistFile) -> bytes:
    """Read an array's bytes if its .npy header is the one that numpy writes for `file`.

    The header is compared as text, because parsing a hostile one is a risk (pickles above all).
    """
    magic, length = stream.read(8), stream.read(2)
    if magic != b"\x93NUMPY\x01\x00":
        raise ContentError(f"{file.key} that is no array of npy version 1 ({magic!r})")
    header = stream.read(int.from_bytes(length, "little")).decode("latin-1")
    expected = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {file.shape}, }}"
    if "".join(header.split()) != expected.replace(" ", ""):
        got = " ".join(header.split())[:100]
        raise ContentError(f"{file.key} declared as {got!a} (expected {expected!a})")
    return stream.read(math.prod(file.shape) + 1)


@contextmanager
def _as_content_error() -> Iterator[None]:
    """Turn every error that gzip and zipfile raise for a bad file into a ContentError."""
    try:
        yield
    except EOFError as error:
        raise ContentError("an archive that ends early") from error
    # zipfile raises RuntimeError for a password or an unknown compression, and ValueError for
    # some header fields.
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError) as error:
        raise ContentError(f"a damaged archive ({describe(error)})") from error
    except OSError as error:
        raise ContentError(f"a file that cannot be read ({describe(error)})") from error


def _describe_content(content: bytes, file: MnistFile) -> str:
    """Say how `content` differs from MNIST's `file`, from its header, size and SHA-256."""
    for other in ALL_FILES:
        if other is not file and content.startswith(other.header):
            return f"MNIST's {other.name} by its header, under a wrong name"
    if not file.header.startswith(content[: len(file.header)]):
        return f"a foreign file that begins with {content[:8]!r}"
    if len(content) < file.size_bytes:
        return f"only the first {len(content)} of {file.size_bytes} bytes"
    if len(content) > file.size_bytes:
        return f"more than the {file.size_bytes} bytes it should hold"
    return (
        f"other content of the same size, SHA-256 {hashlib.sha256(content).hexdigest()[:12]}… "
        f"instead of {file.sha256[:12]}… (Fashion-MNIST and KMNIST use the same file names)"
    )


def describe(error: Exception) -> str:
    """Return an exception's message on one line, without errno and without wrappers."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, Exception):
        return describe(inner)
    message = getattr(error, "strerror", None) or inner or error
    return " ".join(str(message).split()) or type(error).__name__
