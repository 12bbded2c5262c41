"""A disk that forgets: what a power cut may leave after each call of a log of strace.

The model is as strict as POSIX. `fsync` of a file makes its content durable, `fsync` of a folder
the names in it. Until then, any of them may be lost, whatever came later: the states of a disk are
those with none of the pending changes, with all, with each alone, and with all but each. A rename
within a folder is one change; one between folders is two.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_WORDS = re.compile(r'"([^"]*)"|<([^>]*)>')


@dataclass(eq=False)
class File:
    """A file; `durable` if its content has been flushed since it was written."""

    durable: bool = False


@dataclass(eq=False)
class Link:
    """A symbolic link, whose target is kept with its name."""

    target: str


@dataclass(eq=False)
class Folder:
    """A folder: its names as programs see them, and as they are on the disk."""

    live: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[dict[str, Node | None]] = field(default_factory=list)

    def change(self, names: Mapping[str, Node | None]) -> None:
        """Set names, or remove those of None."""
        _apply(self.live, names)
        self.pending.append(dict(names))

    def flush(self) -> None:
        """Make all names durable."""
        self.durable, self.pending = dict(self.live), []


Node = File | Link | Folder


class Disk:
    """A store on a disk, all of it durable.

    Args:
        store: the store's folder.
        place: the folder that the log names it by.
        whole: the names of the files that each version has to hold, by its folder's name.
    """

    def __init__(self, store: Path, whole: Mapping[str, set[str]], *, place: Path) -> None:
        self._place, self.root, self._whole = place, _read(store), whole

    def apply(self, line: str) -> None:
        """Apply a line of strace's log."""
        match = _CALL.match(line)
        if not match or match[3].startswith("-"):
            return
        call, words = match[1], [a or b for a, b in _WORDS.findall(match[2])]
        paths = [Path(word) for word in words]
        if call == "openat":
            if "O_CREAT" in match[2] and self._inside(paths[-1]):
                folder, name = self._parent(paths[-1])
                if name not in folder.live:
                    folder.change({name: File()})
        elif call == "unlinkat":
            self._set(paths[0] / words[1], None)
        elif call == "symlink":
            self._set(paths[1], Link(words[0]))
        elif call == "mkdir":
            self._set(paths[0], Folder())
        elif call in ("unlink", "rmdir"):
            self._set(paths[0], None)
        elif call == "rename":
            self._rename(paths[0], paths[1])
        elif call in ("write", "fsync", "fchmod") and self._inside(paths[0]):
            node = self._find(paths[0])
            if isinstance(node, Folder):
                node.flush()
            elif isinstance(node, File):
                node.durable = call == "fsync"
        elif call not in ("close", "write", "fsync", "fchmod"):
            raise NotImplementedError(line)

    def states(self) -> Iterator[dict[Folder, dict[str, Node]]]:
        """Yield what a power cut may leave now: the names in each folder."""
        folders = list(_folders(self.root))
        changes = [(folder, change) for folder in folders for change in folder.pending]
        count = len(changes)
        kept = {(), tuple(range(count)), *((n,) for n in range(count))}
        kept |= set(itertools.combinations(range(count), max(0, count - 1)))
        for numbers in kept:
            names = {folder: dict(folder.durable) for folder in folders}
            for number in numbers:
                folder, change = changes[number]
                _apply(names[folder], change)
            yield names

    def current(self, names: Mapping[Folder, Mapping[str, Node]]) -> str:
        """Return the version that `current` leads to: its name, "none" or "broken"."""
        if "current" not in names[self.root]:
            return "none"
        found = _follow(self.root, names)
        if found is None:
            return "broken"
        version, name = found
        files = {key for key, node in names[version].items() if isinstance(node, File)}
        durable = all(isinstance(n, File) and n.durable for n in names[version].values())
        return name if durable and files == self._whole.get(name) else "broken"

    def _inside(self, path: Path) -> bool:
        return path == self._place or self._place in path.parents

    def _find(self, path: Path) -> Node:
        node: Node = self.root
        for part in path.relative_to(self._place).parts:
            assert isinstance(node, Folder)
            node = node.live[part]
        return node

    def _parent(self, path: Path) -> tuple[Folder, str]:
        folder = self._find(path.parent)
        assert isinstance(folder, Folder)
        return folder, path.name

    def _set(self, path: Path, node: Node | None) -> None:
        if self._inside(path):
            folder, name = self._parent(path)
            folder.change({name: node})

    def _rename(self, old: Path, new: Path) -> None:
        node = self._find(old)
        (source, old_name), (target, new_name) = self._parent(old), self._parent(new)
        if source is target:
            source.change({old_name: None, new_name: node})
        else:
            target.change({new_name: node})
            source.change({old_name: None})


def _read(path: Path) -> Folder:
    folder = Folder()
    for entry in path.iterdir():
        if entry.is_symlink():
            folder.live[entry.name] = Link(str(entry.readlink()))
        else:
            folder.live[entry.name] = _read(entry) if entry.is_dir() else File(durable=True)
    folder.flush()
    return folder


def _apply(names: dict[str, Node], change: Mapping[str, Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _folders(folder: Folder) -> Iterator[Folder]:
    """Yield the folders that are reachable, by live or by durable names."""
    found, todo = {folder: None}, [folder]
    while todo:
        one = todo.pop()
        for names in (one.live, one.durable, *one.pending):
            for node in names.values():
                if isinstance(node, Folder) and node not in found:
                    found[node] = None
                    todo.append(node)
    return iter(found)


def _follow(root: Folder, names: Mapping[Folder, Mapping[str, Node]]) -> tuple[Folder, str] | None:
    """Follow `current` to a version and its name; None if a link leads nowhere."""
    place, name, todo = [root], "", ["current"]
    while todo:
        part = todo.pop(0)
        if part == "..":
            place.pop()
            continue
        node = names[place[-1]].get(part)
        if isinstance(node, Link):
            todo = [*node.target.split("/"), *todo]
        elif isinstance(node, Folder):
            place.append(node)
            name = part
        else:
            return None
    return place[-1], name
