"""The images and targets of an epoch."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist import Classifier, datasets
from edge_mnist_export.runs import Recipe
from edge_mnist_export.training import augmentation
from edge_mnist_export.training.epoch_data import EpochData


def test_the_teacher_sees_images_without_camera_artifacts() -> None:
    training = datasets.load(datasets.find("synthetic"), "train", limit=200)
    recipe = Recipe(
        arch="edge",
        activation="relu",
        data="synthetic",
        labels="one-hot",
        augment=True,
        epochs=1,
        seed=0,
        teacher="a hash",
    )
    teacher = Classifier()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "_CAMERA", 0.0)
        plain, targets = EpochData(training, recipe, teacher).epoch(0)
        patch.setattr(augmentation, "_CAMERA", 1.0)
        marked, same = EpochData(training, recipe, teacher).epoch(0)
    assert (marked != plain).any(axis=(1, 2)).mean() > 0.9
    assert np.array_equal(targets, same)
    assert np.array_equal(targets, teacher.predict_probabilities(plain))
