"""MNIST: where it may lie, what it must hold, and how it is downloaded.

Nothing is used before its decompressed content has the SHA-256 of the canonical file, so a
mirror, a cache or a folder needs no trust. No read goes further than one byte past the
expected size: an archive that decompresses without end costs no memory.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import queue
import secrets
import struct
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from edge_mnist.datasets import SplitName
from edge_mnist.errors import DataError

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from numpy.typing import NDArray

VARIABLE = "EDGE_MNIST_DATA"
MIRRORS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# A machine without a network is to be told so within 15 s, the stand-in included.
ANSWER_S = 8.0
STALL_S = 10.0
# Below this average after STALL_S a transfer is given up: each byte resets a socket's time-out.
SLOWEST_BYTES_PER_S = 1024
TRIES = 5
# A transfer writes at least every STALL_S; a part file this old belongs to no process.
ABANDONED_S = 60.0
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


class _ContentError(DataError):
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


# --- finding -------------------------------------------------------------------------------


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
        _download(missing, cache)
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
            f"Expected MNIST at {given}, which cannot be read: {_reason(error)}; "
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
        f"Expected {_names(files)} (plain or .gz) or mnist.npz in {given}, "
        f"got no {_names(fewest)}; check the path, or put the files there"
    )


def _beside(given: Path, files: Sequence[MnistFile]) -> dict[MnistFile, Path]:
    """MNIST in an .npz, or an IDX file with its siblings in the same folder."""
    if given.suffix.lower() == ".npz":
        return dict.fromkeys(files, given)
    if not any(given.name in file.spellings for file in ALL_FILES):
        raise DataError(
            f"Expected an .npz or one of {_names(ALL_FILES)} (plain or .gz), got {given}; "
            "give the folder that holds MNIST"
        )
    found = _spelled(given.parent, files)
    if missing := [file for file in files if file not in found]:
        raise DataError(
            f"Expected {_names(files)} beside each other, got {given} without "
            f"{_names(missing)}; put the files in one folder"
        )
    return {file: given if given.name in file.spellings else found[file] for file in files}


def _spelled(folder: Path, files: Sequence[MnistFile]) -> dict[MnistFile, Path]:
    places = ((file, folder / name) for file in files for name in reversed(file.spellings))
    found = {file: place for file, place in places if place.is_file()}
    return {file: found[file] for file in files if file in found}


def _names(files: Sequence[MnistFile]) -> str:
    return ", ".join(file.name for file in files)


# --- reading and checking ------------------------------------------------------------------


def _read(path: Path, file: MnistFile) -> NDArray[np.uint8]:
    """`file` from `path`, checked, in its shape; DataError names the path and what it holds."""
    try:
        content = _checked_bytes(path, file)
    except (OSError, _ContentError) as error:
        raise DataError(
            f"Expected MNIST's {file.name} in {path}, got {_reason(error)}; "
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
    return _content(path, file)


def _content(path: Path, file: MnistFile) -> bytes:
    """Header and data of `file`, from an IDX file or an .npz; _ContentError if it isn't MNIST's."""
    with _archive_errors():
        reader = _from_npz if path.suffix.lower() == ".npz" else _from_idx
        content = reader(path, file)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise _ContentError(_difference(content, file))
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
        raise _ContentError(f"an archive of {size} bytes, too large for MNIST")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if f"{file.key}.npy" not in names:
            raise _ContentError(f"an archive without {file.key} (it begins with {names[:4]})")
        with archive.open(f"{file.key}.npy") as stream:
            return file.header + _npy_data(stream, file)


def _npy_data(stream: IO[bytes], file: MnistFile) -> bytes:
    """The array's bytes, read only once its header is the one numpy writes for `file`.

    Compared as text: parsing is where a hostile header does its harm, pickles first of all.
    """
    magic, length = stream.read(8), stream.read(2)
    if magic != b"\x93NUMPY\x01\x00":
        raise _ContentError(f"{file.key} that is no array of npy version 1 ({magic!r})")
    header = stream.read(int.from_bytes(length, "little")).decode("latin-1")
    expected = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {file.shape}, }}"
    if "".join(header.split()) != expected.replace(" ", ""):
        got = " ".join(header.split())[:100]
        raise _ContentError(f"{file.key} declared as {got!a} (expected {expected!a})")
    return stream.read(math.prod(file.shape) + 1)


# zipfile raises RuntimeError where a password or an unknown compression is asked for, and
# ValueError over a few header fields.
_DAMAGE = (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError)


@contextmanager
def _archive_errors() -> Iterator[None]:
    """Every way gzip and zipfile refuse a file, as one _ContentError."""
    try:
        yield
    except EOFError as error:
        raise _ContentError("an archive that ends early") from error
    except _DAMAGE as error:
        raise _ContentError(f"a damaged archive ({_reason(error)})") from error
    except OSError as error:
        raise _ContentError(f"a file that cannot be read ({_reason(error)})") from error


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


def _reason(error: Exception) -> str:
    """An exception in one line, without errno numbers and wrappers."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, Exception):
        return _reason(inner)
    cause = getattr(error, "strerror", None) or inner or error
    return " ".join(str(cause).split()) or type(error).__name__


# --- downloading ---------------------------------------------------------------------------


def _missing(cache: Path, files: Sequence[MnistFile]) -> list[MnistFile]:
    """The files that the cache lacks, or holds in a state not fit for use, which it says."""
    missing = []
    for file in files:
        place = cache / file.archive
        try:
            _checked_bytes(place, file)
        except FileNotFoundError:
            missing.append(file)
        except (OSError, _ContentError) as error:
            say(f"edge-mnist: warning: bad file in the cache: {place} is {_reason(error)}")
            missing.append(file)
    return missing


def _download(files: Sequence[MnistFile], cache: Path) -> None:
    """Bring `files` into the cache from the first mirror that gives them, or the next."""
    from http.client import HTTPException

    tried = {str(cache): f"no usable {_names(files)}"}
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError({str(cache): f"cannot be made ({_reason(error)})"}) from error
    left = list(files)
    for mirror in _answering(left[0], tried):
        say(f"Downloading MNIST from {mirror} to {cache}")
        try:
            while left:
                _fetch(mirror, left[0], cache)
                del left[0]
            return
        except (OSError, HTTPException, _ContentError) as error:
            tried[mirror] = f"{left[0].archive}: {_reason(error)}"
            say(f"edge-mnist: warning: {mirror} failed: {tried[mirror]}")
    raise UnavailableError(tried)


def _answering(file: MnistFile, tried: dict[str, str]) -> Iterator[str]:
    """The mirrors as they answer, until ANSWER_S have passed; `tried` gets why others didn't.

    Asked in threads because a name server that drops packets holds getaddrinfo for longer
    than any socket time-out; daemons because such a thread must not hold up the exit.
    """
    answers: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
    for mirror in MIRRORS:
        tried[mirror] = f"no answer within {ANSWER_S:g} s"
        threading.Thread(target=_ask, args=(mirror, file, answers), daemon=True).start()
    deadline = time.monotonic() + ANSWER_S
    for _ in MIRRORS:
        try:
            mirror, refusal = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
        if refusal is None:
            yield mirror
        else:
            tried[mirror] = refusal


def _ask(mirror: str, file: MnistFile, answers: queue.SimpleQueue[tuple[str, str | None]]) -> None:
    from http.client import HTTPException

    try:
        with _open(mirror + file.archive, method="HEAD", timeout_s=ANSWER_S):
            answers.put((mirror, None))
    except (OSError, HTTPException, ValueError) as error:
        answers.put((mirror, _reason(error)))


def _fetch(mirror: str, file: MnistFile, cache: Path) -> None:
    """Put `file` into the cache whole, or leave a part for the next attempt to go on from."""
    final = cache / file.archive
    part = _claim(final)
    try:
        _complete(mirror + file.archive, part, file)
        part.replace(final)
        for left in _abandoned(final):
            left.unlink(missing_ok=True)
    finally:
        with suppress(FileNotFoundError):
            if part.stat().st_size:
                part.replace(final.with_name(f"{final.name}.part"))
            else:
                part.unlink()


def _claim(final: Path) -> Path:
    """A part file that is this process's alone: an abandoned one, or a new one.

    Renaming is atomic, so of two processes that want the same part only one gets it.
    """
    own = final.with_name(f"{final.name}.{secrets.token_hex(4)}.part")
    for left in _abandoned(final):
        with suppress(FileNotFoundError):
            os.utime(left)  # before the new name shows: it must not look abandoned there
            return left.replace(own)
    own.touch(exist_ok=False)
    return own


def _abandoned(final: Path) -> list[Path]:
    """Part files of `final` that a process has handed back, or died over."""
    parts = []
    for part in final.parent.glob(f"{final.name}*.part"):
        with suppress(FileNotFoundError):
            age_s = time.time() - part.stat().st_mtime
            if part.name == f"{final.name}.part" or age_s > ABANDONED_S:
                parts.append(part)
    return parts


def _complete(url: str, part: Path, file: MnistFile) -> None:
    """Finish `part` and check it; a resumed one that proves bad is begun again, once."""
    resumed = part.stat().st_size > 0
    try:
        _persist(url, part, file)
        _content(part, file)
    except _ContentError:
        part.write_bytes(b"")
        if not resumed:
            raise
        _complete(url, part, file)


def _persist(url: str, part: Path, file: MnistFile) -> None:
    """Transfer, going on from where a broken connection stopped as long as that gets further."""
    from http.client import HTTPException

    for attempt in range(1, TRIES + 1):
        before = part.stat().st_size
        try:
            return _transfer(url, part, file)
        except (OSError, HTTPException):
            if attempt == TRIES or part.stat().st_size <= before:
                raise
    return None


def _transfer(url: str, part: Path, file: MnistFile) -> None:
    """One request: append what `part` lacks, or begin anew where the server can't resume."""
    offset = part.stat().st_size
    with (
        _open(url, timeout_s=STALL_S, offset=offset) as response,
        part.open("r+b") as stream,
    ):
        start = stream.seek(_offset_granted(response, offset))
        stream.truncate()
        size = None if response.length is None else start + response.length
        with _progress(file.archive, start, size) as advance:
            for chunk in _chunks(response):
                stream.write(chunk)
                advance(len(chunk))
                # Compressed is smaller than plain, or hardly larger: more is not MNIST.
                if stream.tell() > file.size_bytes + 1024:
                    raise _ContentError(f"more than the {file.size_bytes} bytes of {file.name}")
        if size is not None and stream.tell() < size:
            raise ConnectionError(f"the connection broke after {stream.tell()} of {size} bytes")


def _open(url: str, *, timeout_s: float, method: str = "GET", offset: int = 0) -> HTTPResponse:
    """The response to one request from `offset` on; ConnectionError bears a refusal's status."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "edge-mnist", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        response: HTTPResponse = urlopen(  # the caller closes it
            Request(url, headers=headers, method=method), timeout=timeout_s
        )
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # the part is longer than the file: begin anew
            return _open(url, timeout_s=timeout_s, method=method)
        raise ConnectionError(f"HTTP {error.code} {error.reason}") from error
    return response


def _offset_granted(response: HTTPResponse, asked: int) -> int:
    """Where the body begins: at `asked`, or at 0 from a server that does not know Range."""
    if response.status != 206:
        return 0
    granted = response.headers.get("Content-Range", "")
    if not granted.startswith(f"bytes {asked}-"):
        raise ConnectionError(f"asked for the bytes from {asked} on, got {granted or 'others'}")
    return asked


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """The body as it comes; TimeoutError where it comes to a crawl."""
    began, received = time.monotonic(), 0
    while chunk := response.read1(2**16):
        yield chunk
        received += len(chunk)
        if received < SLOWEST_BYTES_PER_S * (time.monotonic() - began - STALL_S):
            raise TimeoutError(f"slower than {SLOWEST_BYTES_PER_S} bytes a second")


@contextmanager
def _progress(label: str, start: int, size: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, only on a terminal and only where the size is known."""
    if size is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    import click

    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        bar.update(start)
        yield bar.update
