"""The training split and a recipe in, the images and targets of each epoch out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_mnist import Classifier
from edge_mnist.datasets import Split

from ..runs import Recipe
from . import outliers
from .augmentation import add_camera_artifacts, augment

Images = NDArray[np.uint8]
Targets = NDArray[np.generic]


class EpochData:
    """The images and targets of a training run, by epoch.

    Everything random is seeded by (seed, epoch), so that a resumed run trains on the same data.

    Args:
        training: images (n, h, w) or (n, h, w, c) and labels (n,); without the validation split.
        recipe: seed, augmentation and form of the labels.
        teacher: its probabilities replace the labels as targets; None for labels.
    """

    def __init__(self, training: Split, recipe: Recipe, teacher: Classifier | None) -> None:
        self._training, self._recipe, self._teacher = training, recipe, teacher
        self._variants: dict[int, tuple[Images, Targets]] = {}

    @property
    def images_per_epoch(self) -> int:
        """The number of images per epoch, with outliers."""
        images = len(self._training.images)
        return images + (outliers.count(images) if self._recipe.augment else 0)

    def epoch(self, number: int) -> tuple[Images, Targets]:
        """Return the data of epoch `number`, counted from 0, in the order to train in.

        Returns:
            Images (n, h, w) or (n, h, w, c) uint8, and targets: labels (n,) or probabilities
            (n, classes).
        """
        recipe = self._recipe
        if not recipe.augment:
            images, targets = self._training.images, encode(self._training.labels, recipe)
        elif recipe.variants is None or recipe.variants >= recipe.epochs:
            images, targets = self._augmented(number)
        else:
            # Cached: augmentation and the teacher take longer than an epoch of a small CNN.
            variant = number % recipe.variants
            if variant not in self._variants:
                self._variants[variant] = self._augmented(variant)
            images, targets = self._variants[variant]
        order = np.random.default_rng([recipe.seed, number]).permutation(len(images))
        return images[order], targets[order]

    def _augmented(self, variant: int) -> tuple[Images, Targets]:
        rng = np.random.default_rng([self._recipe.seed, variant, 1])
        outlier_images, outlier_targets = outliers.draw(len(self._training.images), rng)
        varied = augment(np.concatenate([self._training.images, outlier_images]), rng)
        images = add_camera_artifacts(varied, rng)
        if self._teacher:
            # Camera artifacts would make the teacher unsure, so it sees the images without them.
            return images, self._teacher.predict_probabilities(varied)
        labels = encode(self._training.labels, self._recipe)
        return images, np.concatenate([labels, outlier_targets])


def encode(labels: NDArray[np.uint8], recipe: Recipe) -> Targets:
    """Return labels (n,) in the recipe's form: (n,), or one-hot (n, classes) float32."""
    if recipe.labels == "sparse":
        return labels
    return np.eye(recipe.classes, dtype=np.float32)[labels]
