"""Probabilities and true labels in; how well confidence and accuracy agree out. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15
# Standard errors from the middle of a 95 % interval to its ends.
_Z = 1.959964


class Bin(NamedTuple):
    """The images whose confidence is above `low` and at most `high`.

    Attributes:
        images: their number.
        confidence: their mean confidence; 0 without images.
        accuracy: the fraction of them that was read correctly; 0 without images.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


def reliability(
    probabilities: NDArray[np.float32], labels: NDArray[np.integer], *, bins: int = BINS
) -> list[Bin]:
    """Return bins of equal width of the confidence, the largest probability.

    Args:
        probabilities: (n, classes).
        labels: (n,), the true labels.
        bins: their number.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        inside = index == number
        images = int(inside.sum())
        means = (confidence[inside].mean(), correct[inside].mean()) if images else (0.0, 0.0)
        found.append(Bin(number / bins, (number + 1) / bins, images, *map(float, means)))
    return found


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean of |accuracy - confidence| over the bins, each as often as it has images.

    The definition of Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks,
    2017.
    """
    total = sum(one.images for one in bins)
    return sum(one.images * abs(one.accuracy - one.confidence) for one in bins) / max(1, total)


def accuracy_interval(correct: int, images: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of an accuracy, as fractions."""
    share, square = correct / images, _Z**2 / images
    middle = share + square / 2
    half = _Z * math.sqrt(share * (1 - share) / images + square / (4 * images))
    return (middle - half) / (1 + square), (middle + half) / (1 + square)
