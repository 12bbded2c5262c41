"""INPUT in, shards out: the units of work, each a file, a part of one, or a group of pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..bundle import sha256
from ..errors import DataError
from ..vision.decode import PICTURE_SUFFIXES
from .reading import Array, Kind, Shard, find_column, reading

# Images of a shard, by kind; other files are a shard each. About a second of work on one core.
_SIZES = {"pictures": 1_000, "arrays": 20_000}
_KINDS: dict[str, Kind] = {
    ".npy": "arrays",
    ".npz": "arrays",
    ".parquet": "parquet",
    ".tar": "tar",
    **dict.fromkeys(PICTURE_SUFFIXES, "pictures"),
}
_HASH_DIGITS = 16


class Plan(NamedTuple):
    """What is to be scored.

    Attributes:
        kind: of the input's files.
        column: the array's name, or the column's; None for other kinds.
        size: images of a shard; None where a file is one.
        shards: in the order of the files' names.
    """

    kind: Kind
    column: str | None
    size: int | None
    shards: list[Shard]


def plan(
    given: str, *, output: Path, shape: tuple[int, ...], column: str | None, size: int | None
) -> Plan:
    """Divide an input into shards.

    Args:
        given: a file, or a folder of files of one kind, which may have folders.
        output: a folder that is no part of the input, also where it lies in it.
        shape: the model's input, which arrays must have.
        column: the name of an array or of a column; None to find it.
        size: images of a shard, of arrays and pictures; None for the usual number.

    Raises:
        DataError: the input is missing, empty, of several kinds or broken.
    """
    root, names = _files(Path(given), output)
    kind = _kind(given, names)
    if kind == "parquet":
        column = find_column(root / names[0], column, shape)
    size = (size or _SIZES[kind]) if kind in _SIZES else None
    shards = []
    for group in _groups(names, size if kind == "pictures" and size else 1):
        identity = [kind, column, *((name, *_version(root / name)) for name in group)]
        shard = Shard(kind, str(root), group, column)
        if kind == "arrays" and size:
            array = Array(root / group[0], column, shape)
            for start in range(0, array.count, size):
                stop = min(array.count, start + size)
                part = shard._replace(column=array.name, start=start, stop=stop)
                shards.append(part._replace(result=_result(part, [*identity, start, stop])))
        else:
            shards.append(shard._replace(result=_result(shard, identity)))
    return Plan(kind, shards[0].column if shards else column, size, shards)


def _files(given: Path, output: Path) -> tuple[Path, list[str]]:
    """Return an absolute folder, and the names in it of the files to score."""
    root = given.absolute()
    with reading(given):
        root.stat()
        if not root.is_dir():
            return root.parent, [root.name]
        found = sorted(_walk(root, output.resolve()))
    return root, [name for name in found if Path(name).suffix.lower() in _KINDS]


def _walk(root: Path, output: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=fail):
        folders[:] = [n for n in folders if n[0] != "." and Path(folder, n).resolve() != output]
        place = Path(folder).relative_to(root).as_posix()
        yield from (f"{place}/{n}".removeprefix("./") for n in names if n[0] != ".")


def _kind(given: str, names: Sequence[str]) -> Kind:
    suffixes = {Path(name).suffix.lower() for name in names}
    kinds = sorted({_KINDS[suffix] for suffix in suffixes & _KINDS.keys()})
    if len(kinds) != 1 or suffixes - _KINDS.keys():
        got = " and ".join(kinds) or f"{', '.join(sorted(suffixes)) or 'none'}"
        raise DataError(
            f"Expected pictures, or .npy, .npz, .parquet or .tar files, in {given}, got {got}; "
            f"name a file, or a folder with files of one kind.",
            code="score-input",
        )
    return kinds[0]


def _groups(names: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(names[start : start + size]) for start in range(0, len(names), size))


def _version(path: Path) -> tuple[int, int]:
    """Return size and time of change; zeros for a broken link, which is found later."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _result(shard: Shard, identity: Sequence[object]) -> str:
    """Return the name of a shard's result, with a hash of all that the result depends on."""
    stem = re.sub(r"[^\w.-]+", "-", str(Path(shard.names[0]).with_suffix("")), flags=re.A)[-60:]
    part = f"-{shard.start:010}" if shard.stop else ""
    digest = sha256(repr(identity).encode(errors="backslashreplace"))[:_HASH_DIGITS]
    return f"{stem.strip('-._') or 'shard'}{part}-{digest}.parquet"
