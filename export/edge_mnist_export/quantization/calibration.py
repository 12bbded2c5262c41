"""The representative images that activation ranges are measured on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.datasets import Split
from edge_mnist.errors import DataError

PER_CLASS = (2, 10, 50)
# A picture's pixels reach over most of 0…255, those scaled before over a 255th of it.
_LEAST_SPAN = 16


def representative(
    train: Split, *, per_class: Sequence[int] = PER_CLASS, seed: int
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Return training images (n, …) uint8 of every class in turn, and the numbers to try.

    The first of the images in each of these numbers are `per_class` of every class, of a smaller
    class as many as there are.
    """
    rng = np.random.default_rng(seed)
    most = max(per_class)
    chosen = []
    for label in range(len(train.classes)):
        indices = rng.permutation(np.flatnonzero(train.labels == label))[:most]
        chosen += [(turn, index) for turn, index in enumerate(indices)]
    # The first of every class, then the second of every class, and so on.
    chosen.sort(key=lambda one: one[0])
    numbers = {sum(turn < size for turn, _ in chosen) for size in per_class}
    return train.images[[index for _, index in chosen]], tuple(sorted(numbers))


def check_pixels(images: NDArray[np.uint8], spec: ModelSpec, name: str) -> None:
    """Make sure that calibration images reach over what the input spec promises.

    Raises:
        DataError: they reach over so little of it that they were scaled before.
    """
    low, high = int(images.min()), int(images.max())
    if high - low < _LEAST_SPAN:
        ends = [spec.scaling.value(pixel) for pixel in (low, high)]
        raise DataError(
            f"Expected calibration images that reach from {spec.range[0]:g} to "
            f"{spec.range[1]:g}, as the input spec says, got {ends[0]:.3g} to "
            f"{ends[1]:.3g} in {name}: pixels scaled twice? Give uint8 in 0…255, or floats in 0…1."
        )
