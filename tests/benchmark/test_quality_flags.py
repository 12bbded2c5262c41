"""Which samples and sensor readings raise a quality flag."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_mnist.benchmark.quality_flags import machine_flags, row_flags
from edge_mnist.benchmark.statistics import summary
from edge_mnist.system import machine
from tests.benchmark.rows import Rounds

QUIET = machine.SensorReading(1500.0, 50.0, (), (), 0, 0, 100.0, 0.0, 0.1)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({}, None),
        ({"frequency_mhz": 1490.0}, None),
        ({"frequency_mhz": 600.0}, "frequency moved: 600 to 1500 MHz"),
        ({"throttled": ("throttled",)}, "throttled: throttled"),
        ({"throttled_before": ("under-voltage",)}, "throttled: under-voltage"),
        ({"core_throttled": 2}, "throttled: too hot"),
        ({"cgroup_throttled": 3}, "cgroup: its processor quota was used up 3 times"),
        ({"busy_s": 115.0}, "busy: other processes used 0.5 processors"),
        ({"busy_s": 110.5}, None),
        ({"steal_s": 1.0}, "stolen: the hypervisor took 10% of a processor"),
        ({"frequency_mhz": None, "busy_s": None, "throttled": None}, None),
    ],
)
def test_machine_flags(last: dict[str, Any], expected: str | None) -> None:
    """In ten seconds, the benchmark itself uses ten processor seconds."""
    end = replace(QUIET, **{"busy_s": 110.0} | last)
    flags = machine_flags([QUIET, end], own_s=10, wall_s=10)
    assert flags == ([expected] if expected else [])


def test_throttling_between_first_and_last_reading_is_flagged() -> None:
    middle = replace(QUIET, throttled=("throttled",), frequency_mhz=600.0)
    flags = machine_flags([QUIET, middle, QUIET], own_s=0, wall_s=10)
    assert flags == ["throttled: throttled", "frequency moved: 600 to 1500 MHz"]


def test_row_flags() -> None:
    steady: Rounds = [[20_000, 20_100, 20_200]] * 30
    row: dict[str, Any] = {"predict_us": summary(steady), "warm_up": {"stable": True}}
    assert row_flags(row, steady) == []
    drifting = [[20_000 + 100 * index] * 3 for index in range(30)]
    row = {"predict_us": summary(drifting), "warm_up": {"stable": False, "seconds": 2.04}}
    assert row_flags(row, drifting) == [
        "drift: the last third was 10% slower than the first",
        "warm-up: not stable after 2.0 s",
    ]
    spread = [[20_000, 20_000, 20_000, 25_000]] * 30
    row = {"predict_us": summary(spread), "warm_up": {"stable": True}}
    assert row_flags(row, spread) == ["spread: p90 is 25% over the median"]
