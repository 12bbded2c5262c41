"""The data behind every accuracy figure: MNIST, or the offline stand-in under its own name.

    source = find("auto", splits=("test",))   # looks, downloads, checks
    split = load(source, "test")              # reads only that split

Importing this package loads neither numpy nor anything that reaches for the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SplitName = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels, with the name that stands beside every figure made from them.

    `name` is `mnist-train`, `mnist-test`, `synthetic-train`, `synthetic-test`, or `own-NAME-train`
    and `own-NAME-test` for a user's own data. `images` are (n, 28, 28), white ink on black, of
    own data (n, h, w, c); `labels` are (n,), indices of `classes`. `sha256` is of
    `images.tobytes() + labels.tobytes()`: of MNIST's whole split before any limit, of what was
    drawn of the stand-in.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    sha256: str
    classes: tuple[str, ...] = tuple("0123456789")


@dataclass(frozen=True)
class Source:
    """Where the data comes from: MNIST or a user's own at `path`, or drawn from `seed`."""

    kind: Literal["mnist", "synthetic", "own"]
    path: Path | None
    seed: int

    def __post_init__(self) -> None:
        if (self.kind == "synthetic") != (self.path is None):
            raise ValueError(f"Expected a path unless synthetic, got {self.kind} and {self.path}")


def find(
    data: str = "auto",
    *,
    splits: Sequence[SplitName] = ("train", "test"),
    seed: int = 0,
    own: bool = False,
) -> Source:
    """Resolve `auto`, `mnist`, `synthetic` or a path, so that `load` can read `splits`.

    `auto` and `mnist` look at $EDGE_MNIST_DATA, the cache folder and the public mirrors. Where
    none has MNIST, `mnist` raises and `auto` warns on stderr and gives the stand-in. Only the
    files of `splits` are looked for, downloaded and checked. A path that does not hold MNIST is
    refused, or with `own` taken as a user's own data if it may be that. Raises DataError.
    """
    if data == "synthetic":
        return Source("synthetic", None, seed)
    from . import mnist

    if data not in ("auto", "mnist"):
        return _at_path(Path(data), splits, seed, own)
    try:
        return Source("mnist", mnist.obtain(splits), seed)
    except mnist.UnavailableError as error:
        if data == "mnist":
            raise
        mnist.say(_stand_in_warning(error.tried))
    return Source("synthetic", None, seed)


def _at_path(path: Path, splits: Sequence[SplitName], seed: int, own: bool) -> Source:
    from . import mnist

    try:
        return Source("mnist", mnist.checked(path, splits), seed)
    except DataError:
        if own:
            from .own import looks_like

            if looks_like(path):
                return Source("own", path, seed)
        raise


def _stand_in_warning(tried: dict[str, str]) -> str:
    return "\n".join(
        [
            "edge-mnist: warning: MNIST could not be had; the offline stand-in takes its place.",
            "  EVERY FIGURE BELOW IS OF SYNTHETIC DIGITS, NOT OF MNIST.",
            *(f"  tried {place}: {reason}" for place, reason in tried.items()),
            "  For MNIST: connect to a network once, or set EDGE_MNIST_DATA or --data to a folder",
            "  that holds its four IDX files or mnist.npz.",
        ]
    )


def load(
    source: Source,
    split: SplitName,
    *,
    limit: int | None = None,
    shape: tuple[int, int, int] = (28, 28, 1),
) -> Split:
    """Read one split of `source`, checked; `limit` keeps its first images. Raises DataError.

    `shape` is what the model takes, (h, w, c), of a user's own data. The arrays of MNIST are
    read-only.
    """
    if limit is not None and limit < 1:
        raise DataError(f"Expected a limit of at least 1 image, got {limit}; leave it out for all")
    if source.kind == "own" and source.path is not None:
        from . import own

        images, labels, classes = own.read(source.path, split, shape)
        sha256 = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        name = f"own-{source.path.stem}-{split}"
        return Split(name, images[:limit], labels[:limit], sha256, classes)
    if source.path is None:
        from . import synthetic

        images, labels = synthetic.split(split, seed=source.seed, limit=limit)
        sha256 = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    else:
        from . import mnist

        images, labels = mnist.load(source.path, split)
        sha256 = mnist.SPLIT_SHA256[split]
    return Split(f"{source.kind}-{split}", images[:limit], labels[:limit], sha256)
