"""What puts a measurement in doubt, in words. Pure functions of what was measured and read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..system.machine import SensorReading
from .statistics import Rounds, medians_ns

# Where the upper samples lie further above the median than this, the median is in doubt; pyperf
# warns at the same of its standard deviation.
_SPREAD = 0.10
# A governor's steps are larger, what a counter reads of a steady clock varies less.
_FREQUENCY = 0.05
# Of one processor, what other processes may take: a desktop at rest takes less.
_OTHERS = 0.10
_STOLEN = 0.02
# Processor time is counted in ticks of 10 ms, each for whatever it finds: a few are chance.
_TICKS_S = 0.1
_DRIFT = 0.05
# Fewer rounds have no thirds worth a median.
_LEAST_ROUNDS = 12


def of_row(row: dict[str, Any], rounds: Rounds) -> list[str]:
    """Return what is wrong with one row: its spread, its drift, a warm-up without end."""
    reasons = []
    spread = row["predict_us"]["p90"] / row["predict_us"]["p50"] - 1
    if spread > _SPREAD:
        reasons.append(f"spread: p90 is {spread:.0%} over the median")
    drift = _drift(rounds)
    if abs(drift) > _DRIFT:
        word = "slower" if drift > 0 else "faster"
        reasons.append(f"drift: the last third was {abs(drift):.0%} {word} than the first")
    if not row["warm_up"]["stable"]:
        reasons.append(f"warm-up: not stable after {row['warm_up']['seconds']:.1f} s")
    return reasons


def _drift(rounds: Rounds) -> float:
    if len(rounds) < _LEAST_ROUNDS:
        return 0.0
    medians, third = medians_ns(rounds), len(rounds) // 3
    return float(np.median(medians[-third:]) / np.median(medians[:third]) - 1)


def of_machine(readings: Sequence[SensorReading], *, own_s: float, wall_s: float) -> list[str]:
    """Return what is wrong with the time that was measured in: all rows that took turns in it.

    Args:
        readings: from the first turn to the last; not of a processor at rest.
        own_s: processor seconds that the benchmark itself used between first and last.
        wall_s: seconds between them.
    """
    first, last = readings[0], readings[-1]
    reasons = _throttling(readings)
    frequencies = [r.frequency_mhz for r in readings if r.frequency_mhz is not None]
    if frequencies and max(frequencies) > min(frequencies) * (1 + _FREQUENCY):
        reasons.append(f"frequency moved: {min(frequencies):.0f} to {max(frequencies):.0f} MHz")
    periods = _grown(first.cgroup_throttled, last.cgroup_throttled)
    if periods:
        reasons.append(f"cgroup: its processor quota was used up {periods:.0f} times")
    others_s = _grown(first.busy_s, last.busy_s) - own_s
    if others_s > max(_OTHERS * wall_s, _TICKS_S):
        reasons.append(f"busy: other processes used {others_s / wall_s:.1f} processors")
    stolen = _grown(first.steal_s, last.steal_s) / wall_s if wall_s else 0.0
    if stolen > _STOLEN:
        reasons.append(f"stolen: the hypervisor took {stolen:.0%} of a processor")
    return reasons


def _throttling(readings: Sequence[SensorReading]) -> list[str]:
    first, last = readings[0], readings[-1]
    seen = {name for reading in readings for name in reading.throttled or ()}
    # Between two readings it may have come and gone.
    seen |= set(last.throttled_before or ()) - set(first.throttled_before or ())
    if _grown(first.core_throttled, last.core_throttled):
        seen.add("too hot")
    return [f"throttled: {', '.join(sorted(seen))}"] if seen else []


def _grown(first: float | None, last: float | None) -> float:
    return 0.0 if first is None or last is None else last - first
