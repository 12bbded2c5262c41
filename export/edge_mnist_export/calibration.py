"""The representative images that activation ranges are measured on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_mnist.datasets import Split
from edge_mnist.errors import DataError

PER_DIGIT = 50


def representative(train: Split, *, per_digit: int = PER_DIGIT, seed: int) -> NDArray[np.uint8]:
    """Return `per_digit` training images of every digit, (10 * per_digit, 28, 28) uint8.

    Raises:
        DataError: a digit has fewer images than that.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for digit in range(10):
        candidates = np.flatnonzero(train.labels == digit)
        if len(candidates) < per_digit:
            raise DataError(
                f"Expected {per_digit} images of the digit {digit} for calibration, "
                f"got {len(candidates)} in {train.name}."
            )
        chosen.append(rng.choice(candidates, per_digit, replace=False))
    return train.images[np.concatenate(chosen)]
