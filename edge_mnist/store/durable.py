"""Files, folders and links that a power cut does not undo: each is flushed to the disk.

A file's content is durable after `fsync` of the file, its name after `fsync` of the folder that
holds it. Until then a file system may keep either of them, or none, in any order.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import OutputError

# Nobody changes a bundle in place.
_READ_ONLY = 0o444


def write_file(path: Path, content: Iterable[bytes]) -> None:
    """Write a new file, read-only, and flush its content. Its folder is not flushed."""
    with path.open("xb", buffering=0) as file:
        for piece in content:
            file.write(piece)
        os.fchmod(file.fileno(), _READ_ONLY)
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder: what was created, renamed or deleted there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing, and flush their names."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)


def flush_tree(folder: Path) -> None:
    """Flush the names in a folder and in all below it."""
    for place, _, _ in os.walk(folder):
        flush_folder(Path(place))


@contextlib.contextmanager
def writing(store: Path) -> Iterator[None]:
    """Turn an `OSError` into an OutputError that names the store."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Expected to write to the store {store}, got: {error.strerror or error}; make room "
            f"there, or choose another with --store.",
            code="output-store",
        ) from error
