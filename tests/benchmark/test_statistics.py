"""Percentiles, bootstrap intervals and the digits that they support."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist.benchmark.statistics import bootstrap, central_interval, format_rounded, summary
from tests.benchmark.rows import Rounds


def correlated_rounds(random: np.random.Generator, *, rounds: int = 60, each: int = 30) -> Rounds:
    """Return samples around 20 µs: rounds differ by 5 %, samples of one round by 1 %."""
    level = 20_000 * (1 + 0.05 * random.standard_normal(rounds))
    samples = level[:, np.newaxis] * (1 + 0.01 * random.standard_normal((rounds, each)))
    return [[int(sample) for sample in part] for part in samples]


def test_percentiles_are_those_of_numpy_in_microseconds() -> None:
    rounds = [[1000, 2000, 3000], [4000, 5000]]
    found = summary(rounds)
    assert (found["n"], found["mean"], found["p50"], found["p90"]) == (5, 3.0, 3.0, 4.6)
    assert found["p999"] is None
    low, high = found["ci95"]["p50"]
    assert low <= 3.0 <= high
    assert summary([[5000] * 1000])["p999"] == 5.0
    assert summary([[5000] * 1000])["ci95"] is None


@pytest.mark.slow
def test_intervals_cover_the_true_median_as_often_as_their_level_says() -> None:
    """Intervals from single samples would not, because samples of one round are correlated."""
    covered, naive = 0, 0
    for seed in range(150):
        rounds = correlated_rounds(np.random.default_rng(seed))
        low, high = summary(rounds)["ci95"]["p50"]
        covered += low <= 20 <= high
        single = [[sample] for part in rounds for sample in part]
        low, high = central_interval(bootstrap(single, (0.5,), resamples=200)[:, 0] / 1000, 0.95)
        naive += low <= 20 <= high
    # 95 % of 150 is 142.5; 132 is four standard deviations below.
    assert covered >= 132
    assert naive < 75


@pytest.mark.parametrize(
    ("value", "half_width", "expected"),
    [
        (26.937, 0.3, "26.9"),
        (26.937, 0.031, "26.94"),
        (26.937, 0.0001, "26.94"),
        (26.937, 0.0, "26.94"),
        (26.937, 3.0, "27"),
        (1263.4, 40.0, "1260"),
        (200.0, 500.0, "200"),
        (1263.4, None, "1260"),
        (0.3456, None, "0.35"),
        (4.5678, None, "4.57"),
        (0.0, None, "0.00"),
    ],
)
def test_digits_are_those_that_the_interval_supports(
    value: float, half_width: float | None, expected: str
) -> None:
    assert format_rounded(value, half_width) == expected
