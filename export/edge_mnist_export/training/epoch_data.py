"""The training split and a recipe in, the images and targets of each epoch out."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from edge_mnist import Classifier
from edge_mnist.datasets import Split
from edge_mnist.system.info import usable_cpus

from ..runs import Recipe
from . import outliers
from .augmentation import add_camera_artifacts, augment

# Limit on the epochs that are drawn at once; each takes 50 MB for MNIST.
_MAX_AHEAD = 16

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
        # Variants that are drawn or being drawn, one thread each.
        self._variants: dict[int, Future[tuple[Images, Targets]]] = {}

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
        else:
            images, targets = self._drawn(number)
        order = np.random.default_rng([recipe.seed, number]).permutation(len(images))
        return images[order], targets[order]

    def _drawn(self, number: int) -> tuple[Images, Targets]:
        """Return the augmented data of an epoch, and draw that of the next epochs meanwhile.

        Augmentation and the teacher take longer than an epoch of a small CNN: 14 s beside 0.3 s
        on a GPU. So a recipe may use a few variants again and again, and every processor draws one.
        """
        epochs = self._recipe.epochs
        variants = min(self._recipe.variants or epochs, epochs)
        ahead = min(usable_cpus(), _MAX_AHEAD)
        for later in range(number, min(number + ahead, epochs)):
            if later % variants not in self._variants:
                self._variants[later % variants] = self._draw_in_thread(later % variants)
        if variants < epochs:
            return self._variants[number % variants].result()
        return self._variants.pop(number).result()

    def _draw_in_thread(self, variant: int) -> Future[tuple[Images, Targets]]:
        future: Future[tuple[Images, Targets]] = Future()

        def draw() -> None:
            try:
                future.set_result(self._augmented(variant))
            except BaseException as error:  # noqa: BLE001 – raised by `result`
                future.set_exception(error)

        # A daemon: Ctrl-C does not wait for it.
        threading.Thread(target=draw, daemon=True).start()
        return future

    def _augmented(self, variant: int) -> tuple[Images, Targets]:
        rng = np.random.default_rng([self._recipe.seed, variant, 1])
        outlier_images, outlier_targets = outliers.draw(len(self._training.images), rng)
        varied = augment(np.concatenate([self._training.images, outlier_images]), rng)
        images = add_camera_artifacts(varied, rng)
        if self._teacher:
            # Camera artifacts would make the teacher unsure, so it sees the images without them.
            # A copy, because threads take turns in one classifier.
            return images, copy.deepcopy(self._teacher).predict_probabilities(varied)
        labels = encode(self._training.labels, self._recipe)
        return images, np.concatenate([labels, outlier_targets])


def encode(labels: NDArray[np.uint8], recipe: Recipe) -> Targets:
    """Return labels (n,) in the recipe's form: (n,), or one-hot (n, classes) float32."""
    if recipe.labels == "sparse":
        return labels
    return np.eye(recipe.classes, dtype=np.float32)[labels]
