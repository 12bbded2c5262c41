"""Calibration and intervals, beside computations by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist.evaluation.calibration import (
    accuracy_interval,
    expected_calibration_error,
    reliability,
)


def test_the_calibration_error_of_five_images() -> None:
    probabilities = np.array(
        [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.4, 0.6], [0.58, 0.42]], np.float32
    )
    labels = np.array([0, 1, 1, 0, 0])
    bins = reliability(probabilities, labels, bins=5)
    # 0.6 is the upper end of (0.4, 0.6]; float32 holds a little more than 0.6.
    assert [one.images for one in bins] == [0, 0, 1, 1, 3]
    assert bins[2].accuracy == 1
    assert bins[2].confidence == pytest.approx(0.58)
    assert bins[3].accuracy == 0
    assert bins[4].accuracy == pytest.approx(2 / 3)
    by_hand = (1 * (1 - 0.58) + 1 * 0.6 + 3 * (0.9 - 2 / 3)) / 5
    assert expected_calibration_error(bins) == pytest.approx(by_hand, abs=1e-6)


def test_bins_cover_every_confidence() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.full(10, 0.3), 2000).astype(np.float32)
    probabilities[0], probabilities[1] = np.eye(10)[0], 0.1
    bins = reliability(probabilities, random.integers(0, 10, 2000))
    assert len(bins) == 15
    assert sum(one.images for one in bins) == 2000
    for one in bins:
        assert not one.images or one.low - 1e-6 <= one.confidence <= one.high + 1e-6


def test_a_model_that_is_always_right_and_sure_has_no_error() -> None:
    bins = reliability(np.eye(10, dtype=np.float32), np.arange(10))
    assert expected_calibration_error(bins) == 0


def test_the_wilson_interval() -> None:
    # The formula: Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion, 2001.
    assert accuracy_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    low, high = accuracy_interval(100, 100)
    assert low == pytest.approx(0.9630, abs=1e-4)
    assert high == pytest.approx(1)
