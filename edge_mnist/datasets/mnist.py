"""MNIST: where it may lie, and what it must hold.

Nothing is used before its decompressed content has the SHA-256 of the canonical file, so a
mirror, a cache or a folder needs no trust. No read goes further than one byte past the
expected size: an archive that decompresses without end costs no memory.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from ..errors import DataError
from . import SplitName

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARIABLE = "EDGE_MNIST_DATA"
NPZ_LIMIT_BYTES = 64 * 2**20  # the four arrays are 55 MB before compression


class UnavailableError(DataError):
    """MNIST is neither in the cache nor at a mirror; `tried` is why, by place."""

    def __init__(self, tried: dict[str, str]) -> None:
        self.tried = tried
        reasons = "; ".join(f"{place}: {reason}" for place, reason in tried.items())
        super().__init__(
            f"Expected MNIST in the cache or at a mirror, got none ({reasons}); connect to a "
            f"network once, or set {VARIABLE} or --data to a folder that holds MNIST"
        )


class ContentError(DataError):
    """What a file holds instead; the message is the part after "got"."""


@dataclass(frozen=True)
class MnistFile:
    """One of the four files: its name, its key in mnist.npz, and its decompressed content."""

    name: str
    key: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """IDX: two zero bytes, 8 for uint8, the number of axes, each axis as big-endian uint32."""
        axes = len(self.shape)
        return struct.pack(f">HBB{axes}I", 0, 8, axes, *self.shape)

    @property
    def size_bytes(self) -> int:
        return len(self.header) + math.prod(self.shape)

    @property
    def archive(self) -> str:
        """The name at the mirrors and in the cache."""
        return f"{self.name}.gz"

    @property
    def spellings(self) -> tuple[str, ...]:
        """File names in circulation; the cache's own comes first, so nothing shadows it."""
        dotted = self.name.replace("-idx", ".idx")
        return (self.archive, self.name, f"{dotted}.gz", dotted)


FILES: dict[SplitName, tuple[MnistFile, MnistFile]] = {
    "train": (
        MnistFile(
            "train-images-idx3-ubyte",
            "x_train",
            (60000, 28, 28),
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        MnistFile(
            "train-labels-idx1-ubyte",
            "y_train",
            (60000,),
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    "test": (
        MnistFile(
            "t10k-images-idx3-ubyte",
            "x_test",
            (10000, 28, 28),
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        MnistFile(
            "t10k-labels-idx1-ubyte",
            "y_test",
            (10000,),
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
}
ALL_FILES = (*FILES["train"], *FILES["test"])
# Of images.tobytes() + labels.tobytes(): fixed by the SHA-256 of the files above.
SPLIT_SHA256: dict[SplitName, str] = {
    "train": "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b",
    "test": "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b",
}


def say(text: str) -> None:
    """Progress and warnings: stderr, never stdout."""
    import click

    click.echo(text, err=True)


def checked(given: str | Path, splits: Sequence[SplitName]) -> Path:
    """The path of a folder or file, once everything `splits` needs there has proved to be MNIST."""
    try:
        path = Path(given).expanduser()
    except RuntimeError as error:
        raise DataError(f"Expected the path of MNIST, got {given}: {error}") from error
    for file, place in _locate(path, _files(splits)).items():
        _read(place, file)
    return path


def obtain(splits: Sequence[SplitName]) -> Path:
    """A folder or file with MNIST: $EDGE_MNIST_DATA, the cache, or the cache after a download.

    Raises UnavailableError where MNIST can't be had, DataError where the variable is unusable.
    """
    if given := os.environ.get(VARIABLE):
        try:
            return checked(given, splits)
        except DataError as error:
            raise DataError(f"The variable {VARIABLE} cannot be used: {error}") from error
    cache = cache_folder()
    if missing := _missing(cache, _files(splits)):
        from .download import download

        download(missing, cache)
    return cache


def cache_folder() -> Path:
    """Where a download is kept: the operating system's folder for this user's caches."""
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UnavailableError({"the cache folder": f"no home folder ({error})"}) from error
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "edge-mnist" / "mnist"


def load(path: Path, split: SplitName) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 28, 28) and labels (n,) of one split, checked and read-only."""
    images, labels = (_read(place, file) for file, place in _locate(path, FILES[split]).items())
    return images, labels


def _files(splits: Sequence[SplitName]) -> list[MnistFile]:
    return [file for split in splits for file in FILES[split]]


def _locate(given: Path, files: Sequence[MnistFile]) -> dict[MnistFile, Path]:
    """Where each of `files` lies, in their order; several may lie in one .npz."""
    try:
        if given.is_dir():
            return _in_folder(given, files)
        if given.is_file():
            return _beside(given, files)
    except OSError as error:
        raise DataError(
            f"Expected MNIST at {given}, which cannot be read: {reason(error)}; "
            "check the path and its permissions"
        ) from error
    raise DataError(
        f"Expected a folder or file of MNIST, got {given}, which does not exist; "
        "check the path, or give auto, mnist or synthetic to --data"
    )


def _in_folder(given: Path, files: Sequence[MnistFile]) -> dict[MnistFile, Path]:
    """MNIST in the folder itself, or where torchvision and this project's checkout keep it."""
    fewest = list(files)
    for folder in (given, given / "mnist", given / "MNIST" / "raw"):
        found = _spelled(folder, files)
        if len(found) == len(files):
            return found
        if (npz := folder / "mnist.npz").is_file():
            return dict.fromkeys(files, npz)
        fewest = min(fewest, [file for file in files if file not in found], key=len)
    raise DataError(
        f"Expected {names(files)} (plain or .gz) or mnist.npz in {given}, "
        f"got no {names(fewest)}; check the path, or put the files there"
    )


def _beside(given: Path, files: Sequence[MnistFile]) -> dict[MnistFile, Path]:
    """MNIST in an .npz, or an IDX file with its siblings in the same folder."""
    if given.suffix.lower() == ".npz":
        return dict.fromkeys(files, given)
    if not any(given.name in file.spellings for file in ALL_FILES):
        raise DataError(
            f"Expected an .npz or one of {names(ALL_FILES)} (plain or .gz), got {given}; "
            "give the folder that holds MNIST"
        )
    found = _spelled(given.parent, files)
    if missing := [file for file in files if file not in found]:
        raise DataError(
            f"Expected {names(files)} beside each other, got {given} without "
            f"{names(missing)}; put the files in one folder"
        )
    return {file: given if given.name in file.spellings else found[file] for file in files}


def _spelled(folder: Path, files: Sequence[MnistFile]) -> dict[MnistFile, Path]:
    places = ((file, folder / name) for file in files for name in reversed(file.spellings))
    found = {file: place for file, place in places if place.is_file()}
    return {file: found[file] for file in files if file in found}


def names(files: Sequence[MnistFile]) -> str:
    return ", ".join(file.name for file in files)


def _read(path: Path, file: MnistFile) -> NDArray[np.uint8]:
    """`file` from `path`, checked, in its shape; DataError names the path and what it holds."""
    try:
        content = _checked_bytes(path, file)
    except (OSError, ContentError) as error:
        raise DataError(
            f"Expected MNIST's {file.name} in {path}, got {reason(error)}; "
            "replace the file with a fresh download"
        ) from error
    return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)


def _checked_bytes(path: Path, file: MnistFile) -> bytes:
    stamp = path.stat()
    return _remembered(path, file, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=len(ALL_FILES))
def _remembered(path: Path, file: MnistFile, _mtime_ns: int, _size_bytes: int) -> bytes:
    """Checked content: what `find` has decompressed, `load` need not decompress again.

    The arrays are views of these bytes, so a split in use takes no memory twice.
    """
    return checked_content(path, file)


def checked_content(path: Path, file: MnistFile) -> bytes:
    """Header and data of `file`, from an IDX file or an .npz; ContentError if it isn't MNIST's."""
    with _archive_errors():
        reader = _from_npz if path.suffix.lower() == ".npz" else _from_idx
        content = reader(path, file)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ContentError(_difference(content, file))
    return content


def _from_idx(path: Path, file: MnistFile) -> bytes:
    with path.open("rb") as raw:
        # By content, not by name: some browsers decompress a download and leave the .gz.
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if compressed else raw
        return stream.read(file.size_bytes + 1)


def _from_npz(path: Path, file: MnistFile) -> bytes:
    if (size := path.stat().st_size) > NPZ_LIMIT_BYTES:
        raise ContentError(f"an archive of {size} bytes, too large for MNIST")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if f"{file.key}.npy" not in names:
            raise ContentError(f"an archive without {file.key} (it begins with {names[:4]})")
        with archive.open(f"{file.key}.npy") as stream:
            return file.header + _npy_data(stream, file)


def _npy_data(stream: IO[bytes], file: MnistFile) -> bytes:
    """The array's bytes, read only once its header is the one numpy writes for `file`.

    Compared as text: parsing is where a hostile header does its harm, pickles first of all.
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


# zipfile raises RuntimeError where a password or an unknown compression is asked for, and
# ValueError over a few header fields.
_DAMAGE = (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError)


@contextmanager
def _archive_errors() -> Iterator[None]:
    """Every way gzip and zipfile refuse a file, as one ContentError."""
    try:
        yield
    except EOFError as error:
        raise ContentError("an archive that ends early") from error
    except _DAMAGE as error:
        raise ContentError(f"a damaged archive ({reason(error)})") from error
    except OSError as error:
        raise ContentError(f"a file that cannot be read ({reason(error)})") from error


def _difference(content: bytes, file: MnistFile) -> str:
    """What `content`, not MNIST's `file`, is as far as its header and size tell."""
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
        f"instead of {file.sha256[:12]}… (Fashion-MNIST and KMNIST bear the same file names)"
    )


def reason(error: Exception) -> str:
    """An exception in one line, without errno numbers and wrappers."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, Exception):
        return reason(inner)
    cause = getattr(error, "strerror", None) or inner or error
    return " ".join(str(cause).split()) or type(error).__name__


def _missing(cache: Path, files: Sequence[MnistFile]) -> list[MnistFile]:
    """The files that the cache lacks, or holds in a state not fit for use, which it says."""
    missing = []
    for file in files:
        place = cache / file.archive
        try:
            _checked_bytes(place, file)
        except FileNotFoundError:
            missing.append(file)
        except (OSError, ContentError) as error:
            say(f"edge-mnist: warning: bad file in the cache: {place} is {reason(error)}")
            missing.append(file)
    return missing
