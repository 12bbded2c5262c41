"""The representative images that activation ranges are measured on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_mnist.datasets import Split
from edge_mnist.errors import DataError

PER_CLASS = 50


def representative(train: Split, *, per_class: int = PER_CLASS, seed: int) -> NDArray[np.uint8]:
    """Return `per_class` training images of every class, (classes * per_class, …) uint8.

    Where a class has fewer, that many are taken of every class.

    Raises:
        DataError: a class has no image at all.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(train.labels, minlength=len(train.classes))
    if not counts.all():
        raise DataError(
            f"Expected training images of every class for calibration, got none of "
            f"{train.classes[int(counts.argmin())]!r} in {train.name}."
        )
    per_class = min(per_class, int(counts.min()))
    chosen = []
    for label in range(len(train.classes)):
        candidates = np.flatnonzero(train.labels == label)
        chosen.append(rng.choice(candidates, per_class, replace=False))
    return train.images[np.concatenate(chosen)]
