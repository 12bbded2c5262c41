"""Find and load a data set by name or path: MNIST, drawn digits or a user's own pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from .split import DIGITS, Source, Split, SplitName


def find(
    data: str = "auto",
    *,
    splits: Sequence[SplitName] = ("train", "test"),
    seed: int = 0,
    own: bool = False,
) -> Source:
    """Locate a data set, download it if needed and check its files.

    Args:
        data: `mnist` or `auto` look at $EDGE_MNIST_DATA, the cache folder and the public mirrors.
            Where MNIST cannot be had, `auto` warns on stderr and returns drawn digits.
            `synthetic` are drawn digits. Anything else is the path of MNIST.
        splits: only the files of these splits are located, downloaded and checked.
        seed: for drawn digits.
        own: accept a path that holds a user's own data instead of MNIST.

    Raises:
        DataError: the data set is missing or is not MNIST.
    """
    if data == "synthetic":
        return Source("synthetic", None, seed)
    from . import mnist
    from .download import UnavailableError

    if data not in ("auto", "mnist"):
        return _find_at(Path(data), splits, seed, own)
    try:
        return Source("mnist", mnist.find(splits), seed)
    except UnavailableError as error:
        if data == "mnist":
            raise
        _warn_synthetic(error.tried)
    return Source("synthetic", None, seed)


def _find_at(path: Path, splits: Sequence[SplitName], seed: int, own: bool) -> Source:
    from . import mnist, user_data

    try:
        return Source("mnist", mnist.find_at(path, splits), seed)
    except DataError:
        if own and user_data.is_user_data(path):
            return Source("own", path, seed)
        raise


def _warn_synthetic(tried: dict[str, str]) -> None:
    import click

    lines = [
        "edge-mnist: warning: MNIST is not available; synthetic digits are used instead.",
        "  EVERY FIGURE BELOW IS OF SYNTHETIC DIGITS, NOT OF MNIST.",
        *(f"  tried {place}: {reason}" for place, reason in tried.items()),
        "  To get MNIST, connect to a network once, or set EDGE_MNIST_DATA or --data to a folder",
        "  that holds its four IDX files or mnist.npz.",
    ]
    click.echo("\n".join(lines), err=True)


def load(
    source: Source,
    split: SplitName,
    *,
    limit: int | None = None,
    shape: tuple[int, int, int] = (28, 28, 1),
) -> Split:
    """Read one split of a data set into memory and check it.

    Args:
        source: from `find`.
        split: `train` or `test`.
        limit: return only the first images.
        shape: the model's input (h, w, c). Only a user's own data is brought to it.

    Returns:
        The split. MNIST's arrays are read-only.

    Raises:
        DataError: a file is damaged or not what it should be, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise DataError(
            f"Expected a limit of at least 1 image, got {limit}; leave it out for all",
            code="data-limit",
        )
    name, sha256, classes = f"{source.kind}-{split}", "", DIGITS
    if source.path is None:
        from . import synthetic

        images, labels = synthetic.split(split, seed=source.seed, limit=limit)
    elif source.kind == "own":
        from . import user_data

        images, labels, classes = user_data.load(source.path, split, shape)
        name = f"own-{source.path.stem}-{split}"
    else:
        from . import mnist

        images, labels = mnist.load(source.path, split)
        sha256 = mnist.SPLIT_SHA256[split]
    sha256 = sha256 or hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Split(name, images[:limit], labels[:limit], sha256, classes)
