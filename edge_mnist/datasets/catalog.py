"""Find and load a data set by name or path: MNIST, drawn digits or a user's own images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .split import DIGITS, Source, Split, SplitName

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MNIST_SHAPE = (28, 28, 1)


def find(
    data: str | Path | Mapping[str, NDArray[Any]] = "auto",
    *,
    splits: Sequence[SplitName] = ("train", "test"),
    seed: int = 0,
    own: bool = False,
) -> Source:
    """Locate a data set, download it if needed and check its files.

    Args:
        data: `mnist` or `auto` look at $EDGE_MNIST_DATA, the cache folder and the public mirrors.
            Where MNIST cannot be had, `auto` warns on stderr and returns drawn digits.
            `synthetic` are drawn digits. Anything else is the path of MNIST, or a user's own
            arrays under the names of an .npz (see `user_data`).
        splits: only the files of these splits are located, downloaded and checked.
        seed: for drawn digits.
        own: accept a path that holds a user's own data instead of MNIST.

    Raises:
        DataError: the data set is missing or is not MNIST.
    """
    if isinstance(data, Mapping):
        return Source("own", None, seed, data)
    if not isinstance(data, str | Path):
        raise DataError(
            f"Expected data to be auto, mnist, synthetic, a path, or a mapping with the arrays "
            f"x_train, y_train, x_test and y_test, got {type(data).__name__}; put the arrays into "
            f"a dict.",
            code="data-kind",
        )
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
    from . import idx, mnist, user_data

    try:
        return Source("mnist", mnist.find_at(path, splits), seed)
    except DataError:
        if own and user_data.is_user_data(path):
            return Source("own", path, seed)
        files = [*idx.find_spellings(path, idx.ALL_FILES), *path.glob("*.npz")]
        if own and path.is_dir() and not files:
            raise DataError(
                f"Expected data in {path}: a subfolder of pictures for each class, or four IDX "
                f"files under MNIST's names, got neither; check the path.",
                code="data-own",
            ) from None
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
    shape: tuple[int, int, int] = _MNIST_SHAPE,
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
    if source.kind == "own":
        from . import user_data

        images, labels, classes = user_data.load(_own(source), split, shape)
        name = f"own-{source.path.stem if source.path else 'arrays'}-{split}"
    elif source.path is None:
        from . import synthetic

        images, labels = synthetic.split(split, seed=source.seed, limit=limit)
    else:
        from . import mnist

        images, labels = mnist.load(source.path, split)
        sha256 = mnist.SPLIT_SHA256[split]
    sha256 = sha256 or hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Split(name, images[:limit], labels[:limit], sha256, classes)


def image_shape(source: Source) -> tuple[int, int, int]:
    """Return the shape (h, w, c) of a data set's images.

    Pictures in folders have any size: the shape is 28×28, with three channels if one of them is in
    colour.

    Raises:
        DataError: a user's own data cannot be read.
    """
    if source.kind != "own":
        return _MNIST_SHAPE
    from . import user_data

    return user_data.image_shape(_own(source))


def _own(source: Source) -> Path | Mapping[str, NDArray[Any]]:
    data = source.arrays if source.arrays is not None else source.path
    assert data is not None  # `Source` checks it.
    return data
