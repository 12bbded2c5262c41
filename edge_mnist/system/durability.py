"""Files, folders and their names, flushed to the disk: a power cut does not undo them.

A file's content is durable after `fsync` of the file, its name after `fsync` of the folder that
holds it. Until then a file system may keep either of them, or none, in any order.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

# What some file systems answer to `fsync` of a folder. Nothing more can be done there.
_CANNOT = (errno.EINVAL, errno.ENOTSUP)


def flush_file(path: Path) -> None:
    """Flush a file's content. Its name is not flushed."""
    descriptor = os.open(path, os.O_RDONLY if sys.platform != "win32" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder: what was created, renamed or deleted there."""
    if sys.platform == "win32":
        return
    try:
        flush_file(folder)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def flush_tree(folder: Path) -> None:
    """Flush all files and names below a folder. Its own name is not flushed."""
    for place, _, names in os.walk(folder):
        for name in names:
            flush_file(Path(place, name))
        flush_folder(Path(place))


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing, and flush their names."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)
