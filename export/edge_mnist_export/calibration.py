"""The representative images that activation ranges are measured on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_mnist.contract import Contract
from edge_mnist.datasets import Split
from edge_mnist.errors import DataError

PER_CLASS = (2, 10, 50)
# A picture's pixels reach over most of 0…255, those scaled before over a 255th of it.
_LEAST_SPAN = 16


def representative(
    train: Split, *, per_class: Sequence[int] = PER_CLASS, seed: int
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Return training images (n, …) uint8 of every class in turn, and the numbers to try.

    The first of the images in each of these numbers are `per_class` of every class; where a
    class has fewer, as many of every class as that.

    Raises:
        DataError: a class has no image at all, or the pixels were scaled before.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(train.labels, minlength=len(train.classes))
    if not counts.all():
        raise DataError(
            f"Expected training images of every class for calibration, got none of "
            f"{train.classes[int(counts.argmin())]!r} in {train.name}."
        )
    sizes = sorted({min(size, int(counts.min())) for size in per_class})
    chosen = [
        rng.choice(np.flatnonzero(train.labels == label), sizes[-1], replace=False)
        for label in range(len(train.classes))
    ]
    images = train.images[np.stack(chosen, axis=1).ravel()]
    return images, tuple(size * len(train.classes) for size in sizes)


def check_pixels(images: NDArray[np.uint8], contract: Contract, name: str) -> None:
    """Make sure that calibration images reach over what the input contract promises.

    Raises:
        DataError: they reach over so little of it that they were scaled before.
    """
    low, high = int(images.min()), int(images.max())
    if high - low < _LEAST_SPAN:
        ends = [contract.scaling.value(pixel) for pixel in (low, high)]
        raise DataError(
            f"Expected calibration images that reach from {contract.range[0]:g} to "
            f"{contract.range[1]:g}, as the input contract says, got {ends[0]:.3g} to "
            f"{ends[1]:.3g} in {name}: pixels scaled twice? Give uint8 in 0…255, or floats in 0…1."
        )
