"""Variations of handwriting, and camera artifacts."""

from __future__ import annotations

import numpy as np

from edge_mnist.datasets import synthetic
from edge_mnist_export.training.augmentation import add_camera_artifacts, augment


def test_augmentation_moves_digits_and_keeps_them_whole() -> None:
    images = synthetic.draw(np.arange(10).repeat(30), seed=1)
    moved = augment(images, np.random.default_rng(0))
    assert moved.shape == images.shape
    assert moved.dtype == np.uint8
    assert not (moved == images).all(axis=(1, 2)).any()
    # Scaled by 0.88 to 1.12 in each direction, with thinner or thicker strokes.
    ratio = moved.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert 0.5 < ratio.min() < ratio.max() < 2.5
    assert 0.95 < np.median(ratio) < 1.1
    # A black image stays black.
    assert (augment(np.zeros((300, 28, 28), np.uint8), np.random.default_rng(0)) == 0).all()
    assert np.array_equal(augment(images, np.random.default_rng(0)), moved)


def test_a_fifth_get_camera_artifacts_and_some_of_these_noise_on_the_background() -> None:
    images = synthetic.draw(np.arange(10).repeat(100), seed=1)
    marked = add_camera_artifacts(images, np.random.default_rng(0))
    assert marked.dtype == np.uint8
    changed = (marked != images).any(axis=(1, 2))
    assert 0.15 < changed.mean() < 0.25
    background = ((marked > 0) & (images == 0)).mean(axis=(1, 2))[changed]
    assert 0.15 < (background > 0.2).mean() < 0.35
    assert np.array_equal(add_camera_artifacts(images, np.random.default_rng(0)), marked)
