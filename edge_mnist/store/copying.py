"""A bundle's folder in; a durable copy of all that its manifest lists, every hash checked, out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..bundle import MANIFEST, SIGNATURE, Artifact, Bundle, read_bundle
from ..bundle.verification import listed_files
from ..errors import BundleError, OutputError
from ..system.durability import flush_tree

if TYPE_CHECKING:
    from ..bundle import Trust

_PIECE = 1 << 20  # bytes
_READ_ONLY = 0o444  # Nobody changes a bundle in place.
# Room for what a file system keeps of a bundle beside its files.
_SLACK = 1 << 20


def copy(source: Path, to: Path, *, store: Path, trust: Trust = None) -> Bundle:
    """Copy a bundle into the new folder `to`, check the copy, and flush it to the disk.

    Args:
        source: the bundle's folder.
        to: the folder of the copy.
        store: the store that `to` lies in, for messages.
        trust: as for `read_bundle`.

    Raises:
        BundleError: the bundle is not whole, not signed by a trusted key, or cannot be read.
        OutputError: there is not enough room.
    """
    names = list(_names(read_bundle(source, trust=trust)))
    _check_room(source, names, store)
    to.mkdir()
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        with (to / name).open("xb") as file:
            file.writelines(_pieces(source / name))
            os.fchmod(file.fileno(), _READ_ONLY)
    flush_tree(to)
    # What counts is the copy: the source may have changed meanwhile.
    try:
        return verify(to, trust=trust)
    except BundleError as error:  # The user knows the source, and the copy goes.
        message = str(error).replace(str(to), str(source))
        raise BundleError(message, code=error.code) from error


def verify(folder: Path, *, trust: Trust = None) -> Bundle:
    """Read a bundle, and check the size and the SHA-256 of all that its manifest lists.

    Raises:
        BundleError: it is not whole, or no trusted key signed it.
    """
    bundle = read_bundle(folder, trust=trust)
    for file in listed(bundle):
        file.read()
    return bundle


def is_copy(folder: Path, source: Path) -> bool:
    """Return whether a folder holds the whole bundle `source`, with the same signature."""
    with contextlib.suppress(BundleError, OSError):
        verify(folder, trust=False)
        return all(_content(folder / n) == _content(source / n) for n in (MANIFEST, SIGNATURE))
    return False


def listed(bundle: Bundle) -> Iterator[Artifact]:
    """Yield every file that a manifest lists: model files, examples and programs.

    Raises:
        BundleError: the manifest names a file of another folder, or states no hash.
    """
    folder = os.fspath(bundle.folder)
    for name, size_bytes, digest in listed_files(folder, bundle.manifest):
        path = Path(folder, name)
        yield Artifact(path, path.suffix[1:], "unknown", None, size_bytes, digest)


def _names(bundle: Bundle) -> Iterator[str]:
    """Yield the paths of all files to copy, relative to the bundle."""
    yield MANIFEST
    if Path(bundle.folder, SIGNATURE).exists():
        yield SIGNATURE
    for file in listed(bundle):
        yield str(file.path.relative_to(bundle.folder))


def _content(path: Path) -> bytes | None:
    """Return a file's content; None if there is none."""
    return path.read_bytes() if path.exists() else None


def _check_room(source: Path, names: list[str], store: Path) -> None:
    needed = _SLACK
    for name in names:
        with contextlib.suppress(OSError):  # Reading it will say why.
            needed += (source / name).stat().st_size
    status = os.statvfs(store)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise OutputError(
            f"Expected {needed:,} free bytes in the store {store}, got {free:,}; make room there, "
            f"or choose another with --store.",
            code="output-store-room",
        )


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield a file's content."""
    if not path.is_file():  # Reading a pipe would wait.
        raise BundleError(
            f"Expected the file {path.name} that {path.parent / MANIFEST} lists, got none; "
            f"copy the bundle again.",
            code="bundle-file-missing",
        )
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise BundleError(
            f"Expected to read {path}, got: {error.strerror}.", code="bundle-unreadable"
        ) from error
