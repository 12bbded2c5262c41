"""Drawn digits and non-digits, and how the shipped model reads them."""

from __future__ import annotations

import numpy as np

from edge_mnist import Classifier
from edge_mnist_export.training import outliers


def test_outliers_depend_on_the_random_generator_alone() -> None:
    images, targets = outliers.draw(1800, np.random.default_rng(1))
    assert images.shape == (outliers.count(1800), 28, 28) == (500, 28, 28)
    assert images.dtype == np.uint8
    assert images[:300].any(axis=(1, 2)).all()
    assert np.array_equal(targets.max(axis=1) == 1, np.arange(500) < 300)
    assert np.allclose(targets.sum(axis=1), 1)
    again, _ = outliers.draw(1800, np.random.default_rng(1))
    other, _ = outliers.draw(1800, np.random.default_rng(2))
    assert np.array_equal(images, again)
    assert not (images == other)[:300].all(axis=(1, 2)).any()


def test_the_shipped_model_reads_other_glyphs_and_rejects_non_digits() -> None:
    rng, classifier = np.random.default_rng(12345), Classifier()
    images, labels = outliers.draw_digits(600, rng)
    digits = [classifier.predict(image).digit for image in images]
    assert np.mean([digit == label for digit, label in zip(digits, labels, strict=True)]) > 0.93
    non_digits = outliers.draw_non_digits(600, rng)
    assert np.mean([classifier.predict(image).digit is None for image in non_digits]) > 0.75
