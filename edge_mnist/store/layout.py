"""The folders and links of a store: its generations, the current one, and what may be deleted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..bundle.installed import CURRENT, GENERATIONS, HASH_DIGITS, VERSIONS, store_folder
from ..errors import OutputError
from ..system.durability import flush_folder, make_folders

if TYPE_CHECKING:
    from ..bundle import File


class Generation(NamedTuple):
    """One installation.

    Attributes:
        number: counts the installations of a store.
        folder: the bundle's folder.
        installed_at: when it was installed, in seconds since 1970, by this machine's clock.
    """

    number: int
    folder: Path
    installed_at: float

    @property
    def sha256(self) -> str:
        """The hash of the bundle's manifest."""
        return self.folder.name[:HASH_DIGITS]


class Store:
    """A store; `edge_mnist.bundle.installed` draws its folders.

    Args:
        folder: the store's folder; None for $EDGE_MNIST_STORE or that of the user's data.
    """

    def __init__(self, folder: File | None = None) -> None:
        self.folder = Path(store_folder() if folder is None else folder).absolute()
        self.versions, self._generations = self.folder / VERSIONS, self.folder / GENERATIONS
        self._link = self.folder / CURRENT
        # The lock makes these names enough: only one process writes.
        self.incoming = self.folder / "incoming"
        self._new_link, self._outgoing = self.folder / "current.new", self.folder / "outgoing"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the store, wait until no other process writes to it, and clear it of remains.

        Raises:
            OutputError: the store cannot be written to.
        """
        with self._writing(), contextlib.ExitStack() as stack:
            for folder in (self.versions, self._generations):
                make_folders(folder)
            lock = stack.enter_context((self.folder / "lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.clear()
            stack.callback(self.clear)
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an `OSError` into an OutputError that names the store."""
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"Expected to write to the store {self.folder}, got: {error.strerror or error}; "
                f"make room there, or choose another with --store.",
                code="output-store",
            ) from error

    def generations(self) -> list[Generation]:
        """Return the generations that are kept, the oldest first."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._generations):
                # An install that goes on may delete one at any time.
                with contextlib.suppress(OSError, ValueError):
                    link = Path(entry.path)
                    folder = self.versions / link.readlink().name
                    found.append(Generation(int(entry.name), folder, link.lstat().st_mtime))
        return sorted(found)

    def current(self) -> Generation | None:
        """Return the current generation; None if nothing is installed."""
        with contextlib.suppress(OSError):
            name = self._link.readlink().name
            for generation in self.generations():
                if str(generation.number) == name:
                    return generation
        return None

    def keep_incoming(self, name: str) -> Path:
        """Move the folder `incoming` to the versions, under a name that is free."""
        folder = self.incoming.rename(self.versions / name)
        flush_folder(self.versions)
        return folder

    def add(self, folder: Path) -> Generation:
        """Add a generation for a version. The current one stays."""
        number = max((one.number for one in self.generations()), default=0) + 1
        link = self._generations / str(number)
        link.symlink_to(Path("..", VERSIONS, folder.name))
        flush_folder(self._generations)
        return Generation(number, folder, link.lstat().st_mtime)

    def switch(self, generation: Generation) -> None:
        """Make a generation the current one, by one rename."""
        self._new_link.symlink_to(Path(GENERATIONS, str(generation.number)))
        self._new_link.rename(self._link)
        flush_folder(self.folder)

    def forget(self, *generations: Generation) -> None:
        """Delete generations. Their versions go with the next `clear`, unless others need them."""
        for generation in generations:
            (self._generations / str(generation.number)).unlink(missing_ok=True)
        if generations:
            # Otherwise a power cut could keep a link to a version that is gone.
            flush_folder(self._generations)

    def clear(self) -> None:
        """Delete the versions that no generation needs, and what a killed process left behind."""
        self._new_link.unlink(missing_ok=True)
        needed = {generation.folder.name for generation in self.generations()}
        unneeded = [folder for folder in self.versions.iterdir() if folder.name not in needed]
        # Renamed first: a version is there as a whole, or not at all.
        for remains in (self._outgoing, self.incoming, *unneeded):
            if remains.exists():
                if remains != self._outgoing:
                    remains.rename(self._outgoing)
                shutil.rmtree(self._outgoing)
