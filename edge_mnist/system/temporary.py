"""Files and folders under temporary names; a later run deletes those of dead processes.

A process locks each of its temporaries. The system drops the lock when the process ends, however
it ends: what is not locked was abandoned. Windows has no such lock; nothing is deleted there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# Short, whatever the final name is: a name may have 255 bytes.
_PREFIX, _SUFFIX = ".edge-mnist-", ".tmp"
_KIND_CHARACTERS = 16  # the longest suffix that a temporary file takes over from its final name


@contextlib.contextmanager
def temporary_file(folder: Path, *, like: Path | None = None) -> Iterator[Path]:
    """Yield a new, empty file in `folder`; delete it afterwards unless it was renamed.

    Args:
        folder: where the file is made.
        like: the final name, whose suffix the file gets: some writers demand theirs.

    Raises:
        OSError: the file cannot be made.
    """
    kind = "" if like is None else like.suffix[:_KIND_CHARACTERS]
    with _temporary(folder, lambda path: path.touch(exist_ok=False), kind) as path:
        yield path


@contextlib.contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder in `folder`, for its owner only; otherwise as `temporary_file`."""
    with _temporary(folder, lambda path: path.mkdir(mode=0o700)) as path:
        yield path


@contextlib.contextmanager
def scratch_folder() -> Iterator[None]:
    """Give this process and its children a folder for temporary files of their own.

    Frameworks, compilers and native code leave files there when they are killed.

    Raises:
        OSError: no folder for temporary files can be written to.
    """
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    with contextlib.ExitStack() as stack:
        tempfile.tempdir = os.environ["TMPDIR"] = str(_new_scratch_folder(stack))
        try:
            yield
        finally:
            tempfile.tempdir = before
            if variable is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = variable


def _new_scratch_folder(stack: contextlib.ExitStack) -> Path:
    *others, last = _shared_folders()
    for shared in others:
        with contextlib.suppress(OSError):
            return _in_shared(shared, stack)
    return _in_shared(last, stack)


def _in_shared(shared: Path, stack: contextlib.ExitStack) -> Path:
    clear_abandoned(shared)
    folder = stack.enter_context(temporary_folder(shared))
    (folder / "probe").write_bytes(b"a full disk takes folders, but no content")
    return folder


def _shared_folders() -> list[Path]:
    """Return the folders that `tempfile.gettempdir` tries; killed, it leaves a file in them."""
    if tempfile.tempdir or sys.platform == "win32":
        return [Path(tempfile.gettempdir())]
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    return [Path(folder).absolute() for folder in (*named, "/tmp", "/var/tmp") if folder]


def clear_abandoned(folder: Path) -> None:
    """Delete the temporaries in `folder` whose processes have ended."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}*"):
        with contextlib.suppress(OSError), locked(path) as held:
            if held:
                _delete(path)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[bool | None]:
    """Lock a file or folder; yield whether this process holds it, and `path` still names it.

    Yields None where there are no locks: on Windows, and for folders on NFS.

    Raises:
        OSError: `path` cannot be opened.
    """
    if sys.platform == "win32":
        yield None
        return
    import fcntl

    # A pipe of that name would block, and a link could lead anywhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield _is_locked(fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), descriptor, path)
    finally:
        os.close(descriptor)


def _is_locked(operation: int, descriptor: int, path: Path) -> bool | None:
    import fcntl

    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    except OSError:
        return None
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


@contextlib.contextmanager
def _temporary(folder: Path, make: Callable[[Path], None], kind: str = "") -> Iterator[Path]:
    path = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}{kind}"
    with contextlib.ExitStack() as stack:
        stack.callback(_delete, path)  # Before it is made: a signal may come right after that.
        while not _made(path, make, stack):
            pass
        yield path


def _made(path: Path, make: Callable[[Path], None], stack: contextlib.ExitStack) -> bool:
    """Make a temporary and lock it; return False if another process deleted it in between."""
    make(path)
    try:
        stack.enter_context(locked(path, wait=True))
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _delete(path: Path) -> None:
    try:
        _delete_once(path)
    except KeyboardInterrupt:
        _delete_once(path)
        raise


def _delete_once(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
