"""What a network is shown, epoch by epoch: images, each in a variation of its own, and targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_mnist import Classifier
from edge_mnist.datasets import Split

from ..runs import Recipe
from . import outliers
from .augmentation import augment, photograph

Images = NDArray[np.uint8]
Targets = NDArray[np.generic]


class EpochData:
    """The epochs of a run.

    All is drawn anew from (seed, epoch), so that a run which was interrupted sees the same.

    Args:
        kept: the images to train on, and their labels.
        recipe: what to do with them.
        teacher: whose probabilities are the targets, in place of the labels.
    """

    def __init__(self, kept: Split, recipe: Recipe, teacher: Classifier | None) -> None:
        self._kept, self._recipe, self._teacher = kept, recipe, teacher
        self._drawn: dict[int, tuple[Images, Targets]] = {}

    def __len__(self) -> int:
        """Return the images of an epoch."""
        images = len(self._kept.images)
        return images + (outliers.count(images) if self._recipe.augment else 0)

    def epoch(self, number: int) -> tuple[Images, Targets]:
        """Return images (n, h, w) uint8 and targets: labels (n,), or probabilities (n, 10)."""
        recipe = self._recipe
        if not recipe.augment:
            images, targets = self._kept.images, encode(self._kept.labels, recipe)
        elif recipe.variants is None or recipe.variants >= recipe.epochs:
            images, targets = self._draw(number)
        else:
            # Kept: to draw them, and to ask a teacher, takes longer than an epoch of a small CNN.
            variant = number % recipe.variants
            if variant not in self._drawn:
                self._drawn[variant] = self._draw(variant)
            images, targets = self._drawn[variant]
        order = np.random.default_rng([recipe.seed, number]).permutation(len(images))
        return images[order], targets[order]

    def _draw(self, variant: int) -> tuple[Images, Targets]:
        rng = np.random.default_rng([self._recipe.seed, variant, 1])
        drawn, their_targets = outliers.draw(len(self._kept.images), rng)
        varied = augment(np.concatenate([self._kept.images, drawn]), rng)
        images = photograph(varied, rng)
        if self._teacher:
            # It is asked about them without the marks of a camera, which make it unsure.
            return images, self._teacher.predict_probabilities(varied)
        return images, np.concatenate([encode(self._kept.labels, self._recipe), their_targets])


def encode(labels: NDArray[np.uint8], recipe: Recipe) -> Targets:
    """Return labels as the loss of the recipe takes them."""
    return np.eye(10, dtype=np.float32)[labels] if recipe.labels == "one-hot" else labels
