"""Samples and sensor readings in; quality flags out: sentences that cast doubt on a row.

Pure functions. docs/benchmark.md lists the flags; the JSON holds them under `tainted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..system.machine import SensorReading
from .statistics import Rounds, round_medians_ns

# p90 over p50, minus 1. pyperf warns at the same ratio of standard deviation to mean.
_MAX_SPREAD = 0.10
# Highest over lowest frequency, minus 1. A governor's steps are larger.
_MAX_FREQUENCY_CHANGE = 0.05
# Processors that other processes may use: an idle desktop uses less. The kernel counts in ticks of
# 10 ms, so that up to _TICKS_S seconds may be chance.
_MAX_OTHERS, _TICKS_S = 0.10, 0.1
# Processors that the hypervisor may take.
_MAX_STOLEN = 0.02
# Last third's median over the first third's, minus 1; of at least _MIN_ROUNDS rounds.
_MAX_DRIFT, _MIN_ROUNDS = 0.05, 12


def row_flags(row: dict[str, Any], rounds: Rounds) -> list[str]:
    """Return the flags of one row, from its `predict_us`, `warm_up` and samples of `predict`."""
    flags = []
    spread = row["predict_us"]["p90"] / row["predict_us"]["p50"] - 1
    if spread > _MAX_SPREAD:
        flags.append(f"spread: p90 is {spread:.0%} over the median")
    drift = _drift(rounds)
    if abs(drift) > _MAX_DRIFT:
        word = "slower" if drift > 0 else "faster"
        flags.append(f"drift: the last third was {abs(drift):.0%} {word} than the first")
    if not row["warm_up"]["stable"]:
        flags.append(f"warm-up: not stable after {row['warm_up']['seconds']:.1f} s")
    return flags


def _drift(rounds: Rounds) -> float:
    if len(rounds) < _MIN_ROUNDS:
        return 0.0
    medians, third = round_medians_ns(rounds), len(rounds) // 3
    return float(np.median(medians[-third:]) / np.median(medians[:third]) - 1)


def machine_flags(readings: Sequence[SensorReading], *, own_s: float, wall_s: float) -> list[str]:
    """Return the flags that all rows of a group share.

    Between the first and the last reading, `wall_s` seconds passed and the benchmark itself used
    `own_s` processor seconds.
    """
    first, last = readings[0], readings[-1]
    flags = _throttling(readings)
    frequencies = [r.frequency_mhz for r in readings if r.frequency_mhz is not None]
    if frequencies and max(frequencies) > min(frequencies) * (1 + _MAX_FREQUENCY_CHANGE):
        flags.append(f"frequency moved: {min(frequencies):.0f} to {max(frequencies):.0f} MHz")
    periods = _increase(first.cgroup_throttled, last.cgroup_throttled)
    if periods:
        flags.append(f"cgroup: its processor quota was used up {periods:.0f} times")
    others_s = _increase(first.busy_s, last.busy_s) - own_s
    if others_s > max(_MAX_OTHERS * wall_s, _TICKS_S):
        flags.append(f"busy: other processes used {others_s / wall_s:.1f} processors")
    stolen = _increase(first.steal_s, last.steal_s) / wall_s if wall_s else 0.0
    if stolen > _MAX_STOLEN:
        flags.append(f"stolen: the hypervisor took {stolen:.0%} of a processor")
    return flags


def _throttling(readings: Sequence[SensorReading]) -> list[str]:
    first, last = readings[0], readings[-1]
    causes = {name for reading in readings for name in reading.throttled or ()}
    # Throttling between two readings shows only in the bits that stay set.
    causes |= set(last.throttled_before or ()) - set(first.throttled_before or ())
    if _increase(first.core_throttled, last.core_throttled):
        causes.add("too hot")
    return [f"throttled: {', '.join(sorted(causes))}"] if causes else []


def _increase(first: float | None, last: float | None) -> float:
    return 0.0 if first is None or last is None else last - first
