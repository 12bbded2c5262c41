"""The values of this room: `Source` says where a data set is, `Split` holds images and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SplitName = Literal["train", "test"]
DIGITS = tuple("0123456789")


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of one split.

    Attributes:
        name: stands beside every figure: `mnist-test`, `synthetic-train`, `own-FILE-test`.
        images: (n, 28, 28) in [0, 255], white digits on black. A user's own: (n, h, w, c).
        labels: (n,), indices of `classes`.
        sha256: of `images.tobytes() + labels.tobytes()`. For MNIST and a user's own data it covers
            the whole split before any limit, for drawn digits only the images drawn.
        classes: the labels' names.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    sha256: str
    classes: tuple[str, ...] = DIGITS

    def sample(self, count: int) -> Split:
        """Return some of the images in random order; a user's own are sorted by class."""
        import numpy as np  # Imported late, as this package promises.

        chosen = np.random.default_rng(0).permutation(len(self.images))[:count]
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def aligned(self, names: tuple[str, ...]) -> Split:
        """Return the split with its classes in the order of `names`, if they have these names."""
        if self.classes == names or sorted(self.classes) != sorted(names):
            return self
        import numpy as np  # Imported late, as this package promises.

        numbers = np.array([names.index(name) for name in self.classes], self.labels.dtype)
        return replace(self, labels=numbers[self.labels], classes=names)


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        kind: "mnist", "synthetic" or "own".
        path: of MNIST or a user's own data; None for drawn digits and for arrays in memory.
        seed: of drawn digits.
        arrays: a user's own data in memory, under the names of an .npz.
    """

    kind: Literal["mnist", "synthetic", "own"]
    path: Path | None
    seed: int
    arrays: Mapping[str, NDArray[Any]] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        in_memory = self.kind == "own" and self.arrays is not None
        if (self.kind == "synthetic" or in_memory) != (self.path is None):
            raise ValueError(f"Expected a path unless synthetic, got {self.kind} and {self.path}")
