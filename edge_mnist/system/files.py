"""Files and folders, written whole or not at all."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError
from .durability import flush_file, flush_folder, flush_tree, make_folders
from .temporary import clear_abandoned, temporary_file, temporary_folder


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name beside it, then rename it to `path`.

    A link is followed. A device or a pipe is written to directly.

    Raises:
        OutputError: the place cannot be written to.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        with replacing(path.resolve()) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file; then flush it to the disk and rename it to `path`.

    After a power cut `path` has the old content or the new one.

    Raises:
        OSError: the place cannot be written to.
    """
    with temporary_file(path.parent, like=path) as temporary:
        yield temporary
        flush_file(temporary)
        temporary.replace(path)
        flush_folder(path.parent)


def check_writable(path: Path) -> None:
    """Check, before the work begins, that a file can be written.

    Raises:
        OutputError: `path` is a folder, or its folder is missing or cannot be written to.
    """
    if path.is_dir():
        raise OutputError(
            f"Expected a file to write, got the folder {path}; add a file name.",
            code="output-is-a-folder",
        )
    if path.exists() and not path.is_file():
        return
    folder = path.resolve().parent
    clear_abandoned(folder)
    try:
        with temporary_file(folder):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_free(folder: Path, *, option: str = "--out") -> None:
    """Check that `folder`, the value of an option, is absent or empty, and can be created.

    Raises:
        OutputError: it holds something, is a file, or cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"Expected a folder to write to, got the file {folder}; choose another.",
            code="output-not-a-folder",
        )
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(
                f"Expected a new or empty folder, got {folder}, which holds something; "
                f"choose another with {option}, or delete it.",
                code="output-exists",
            )
        existing = next(
            parent for parent in (folder, *folder.absolute().parents) if parent.exists()
        )
        clear_abandoned(existing)
        with temporary_file(existing):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from error


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `folder` if the body succeeds, otherwise delete it.

    Everything is on the disk before it is renamed: after a power cut `folder` is whole or absent.

    Raises:
        OutputError: as `check_free`.
    """
    check_free(folder)
    try:
        make_folders(folder.parent)
        with temporary_folder(folder.parent) as temporary:
            yield temporary
            # It was made for its owner only; a bundle is meant to be copied.
            temporary.chmod(0o755)
            flush_tree(temporary)
            if sys.platform == "win32" and folder.is_dir():
                folder.rmdir()
            temporary.rename(folder)
            flush_folder(folder.parent)
    except OSError as error:
        raise _cannot_write(_place(folder, error), error) from error


def _place(folder: Path, error: OSError) -> Path:
    """Return `folder`, or another place that could not be written, such as the temporary folder."""
    named = Path(error.filename) if isinstance(error.filename, str) else folder
    return folder if named.absolute().is_relative_to(folder.absolute().parent) else named


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Expected to write {path}, got: {error.strerror or error}; choose another place.",
        code="output-unwritable",
    )
