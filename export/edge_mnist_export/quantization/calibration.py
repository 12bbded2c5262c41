"""A training split in, the representative images for measuring activation ranges out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_mnist.datasets import Split
from edge_mnist.errors import DataError

# Numbers of calibration images per class that the scheme search tries.
PER_CLASS = (2, 10, 50)
# Least difference between the darkest and the brightest pixel, in steps of uint8. Images span
# most of 0…255. Images that were divided by 255 before span 1.
_MIN_PIXEL_SPAN = 16


def representative(
    train: Split, *, per_class: Sequence[int] = PER_CLASS, seed: int
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Choose calibration images that hold every class equally often.

    Args:
        train: the images that training used.
        per_class: the numbers of images per class to try. A smaller class gives all it has.
        seed: decides which images of a class are chosen.

    Returns:
        Images (n, …) uint8, and the counts to try in ascending order. The first `count` images
        are the balanced choice for that count.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for label in range(len(train.classes)):
        indices = rng.permutation(np.flatnonzero(train.labels == label))[: max(per_class)]
        chosen += list(enumerate(indices))
    # The first image of every class, then the second image of every class, and so on.
    chosen.sort(key=lambda entry: entry[0])
    counts = {sum(rank < size for rank, _ in chosen) for size in per_class}
    return train.images[[index for _, index in chosen]], tuple(sorted(counts))


def check_pixels(images: NDArray[np.uint8], name: str) -> None:
    """Make sure that the images of a data set span the range of pixels.

    Raises:
        DataError: the images span almost nothing, because they were scaled before.
    """
    darkest, brightest = int(images.min()), int(images.max())
    if brightest - darkest < _MIN_PIXEL_SPAN:
        raise DataError(
            f"Expected images that span most of the pixels 0 to 255, got {darkest} to {brightest} "
            f"in {name}: pixels scaled twice? Give uint8 in 0…255, or floats in 0…1.",
            code="data-pixel-span",
        )
