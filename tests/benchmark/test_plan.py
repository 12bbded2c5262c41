"""How long is measured: rounds, samples and durations."""

from __future__ import annotations

import pytest

from edge_mnist.benchmark.plan import MAX_SAMPLES, make_plan, parse_duration
from tests.errors import raises


@pytest.mark.parametrize("runs", [10, 40, 41, 1000])
def test_runs_are_exactly_the_requested_number(runs: int) -> None:
    plan = make_plan(runs=runs, rows=3)
    sizes = [plan.samples(number, 1e-3) for number in range(plan.rounds)]
    assert sum(sizes) == runs
    assert min(sizes) >= 1


def test_a_slow_model_is_timed_less_often_and_never_less_than_once_a_round() -> None:
    standard = make_plan(rows=4)
    assert standard.rounds == 100
    assert [standard.samples(0, pace_s) for pace_s in (20e-6, 10e-3, 1.0)] == [100, 10, 1]
    # Eight rows of 1 ms a prediction take at most 10 of the 20 seconds.
    quick = make_plan(quick=True, rows=8)
    assert 8 * quick.rounds * 2 * 1e-3 * quick.samples(0, 1e-3) <= 10
    # A turn takes 0.2 seconds, and the number of samples is bounded.
    short = make_plan(duration_s=10, rows=1)
    assert [short.samples(0, pace_s) for pace_s in (20e-6, 10e-3, 1.0)] == [200, 10, 1]
    for hours in (1, 100):
        long = make_plan(duration_s=3600 * hours, rows=2)
        assert long.rounds * long.samples(0, 20e-6) <= MAX_SAMPLES
        assert long.rounds * long.turn_s * 2 == pytest.approx(3600 * hours)


@pytest.mark.parametrize(("text", "expected"), [("30s", 30), ("10m", 600), ("1h", 3600)])
def test_durations_are_parsed(text: str, expected: float) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["10", "0s", "-3m", "m", "10 days", "1e9h", "nan"])
def test_invalid_durations_are_refused(text: str) -> None:
    with raises("data-duration"):
        parse_duration(text)
