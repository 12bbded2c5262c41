"""Files and folders, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError


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
        with _replacing(path.resolve()) as temporary, temporary.open("wb") as file:
            file.write(data)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; then flush it to the disk and rename it to `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    try:
        with tempfile.TemporaryFile(dir=path.resolve().parent):
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
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from error


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `folder` if the body succeeds, otherwise delete it.

    Raises:
        OutputError: as `check_free`.
    """
    check_free(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        yield temporary
        # mkdtemp gives access to the owner only; a bundle is meant to be copied.
        temporary.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Expected to write {path}, got: {error.strerror}; choose another place.",
        code="output-unwritable",
    )
