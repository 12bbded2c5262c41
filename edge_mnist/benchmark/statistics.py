"""Percentiles of latency samples, and how far they can be trusted. Pure functions.

Samples come in rounds, nanoseconds as integers. Neighbours in a round share the state of the
caches, the frequency and whatever else ran, so they are no independent observations; rounds, with
other work between them, nearly are. The bootstrap therefore draws whole rounds, with replacement
(a block bootstrap: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, 8.6), and
takes percentiles of what was drawn. Drawing single samples would give intervals that are too
narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rounds = Sequence[Sequence[int]]

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
# With fewer samples none is expected above it: it would be the largest, whatever that is.
_LEAST = {"p999": 1000}
_RESAMPLES = 400
_LEVEL = 0.95


def summary(rounds: Rounds) -> dict[str, Any]:
    """Return count, mean and percentiles in microseconds, with bootstrap intervals of 95 %.

    `p999` is None below 1,000 samples; `ci95` is None where there is a single round.
    Percentiles are interpolated linearly between samples, as numpy's.
    """
    samples = np.concatenate([np.asarray(part, np.float64) for part in rounds]) / 1000
    wanted = {name: q for name, q in PERCENTILES.items() if len(samples) >= _LEAST.get(name, 1)}
    values = np.percentile(samples, [100 * q for q in wanted.values()])
    points = dict(zip(wanted, (round(float(value), 2) for value in values), strict=True))
    return {
        "n": len(samples),
        "mean": round(float(samples.mean()), 2),
        **{name: points.get(name) for name in ("p50", "p90", "p99", "p999")},
        "ci95": _intervals(rounds, wanted),
    }


def _intervals(rounds: Rounds, wanted: dict[str, float]) -> dict[str, list[float]] | None:
    if len(rounds) < 2:
        return None
    drawn = resampled(rounds, tuple(wanted.values())) / 1000
    low, high = interval(drawn, _LEVEL)
    return {
        name: [round(float(low[i]), 2), round(float(high[i]), 2)] for i, name in enumerate(wanted)
    }


def interval(drawn: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return the (low, high) percentiles of bootstrap statistics (resamples, …) at a level."""
    tail = (1 - level) / 2
    limits: NDArray[np.float64] = np.percentile(drawn, [100 * tail, 100 * (1 - tail)], axis=0)
    return limits


def resampled(
    rounds: Rounds, fractions: Sequence[float], *, resamples: int = _RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Return percentiles (resamples, fractions) in nanoseconds, of rounds drawn with replacement.

    Sorted once: a resample is how often each round was drawn, and a percentile is where those
    counts, summed along the sorted samples, reach the fraction.
    """
    lengths = [len(part) for part in rounds]
    samples = np.concatenate([np.asarray(part, np.int64) for part in rounds])
    order = np.argsort(samples, kind="stable")
    samples, owner = samples[order], np.repeat(np.arange(len(rounds)), lengths)[order]
    random = np.random.default_rng(seed)
    results = np.empty((resamples, len(fractions)))
    for index in range(resamples):
        # bincount takes nothing wider than the machine's own integers: on a 32-bit Pi not int64.
        drawn = random.integers(0, len(rounds), len(rounds), np.intp)
        reached = np.cumsum(np.bincount(drawn, minlength=len(rounds))[owner])
        ranks = np.asarray(fractions) * reached[-1]
        results[index] = samples[np.searchsorted(reached, ranks, side="left")]
    return results


def median_ns(rounds: Rounds) -> float:
    """Return the median of all samples, in nanoseconds."""
    return float(np.median(np.concatenate([np.asarray(part) for part in rounds])))


def medians_ns(rounds: Rounds) -> NDArray[np.float64]:
    """Return the median of each round, in nanoseconds."""
    return np.array([np.median(part) for part in rounds])


def rounded(value: float, half_width: float | None) -> str:
    """Return a value with the digits that its noise allows.

    The last digit is of the magnitude of half the interval's width, never finer than 0.01 and
    never coarser than the value's first; without an interval three significant digits are left.
    """
    if half_width is None:
        decimals = 2 - _magnitude(value)
    elif half_width == 0:
        decimals = 2
    else:
        decimals = -min(_magnitude(half_width), _magnitude(value))
    decimals = min(decimals, 2)
    # + 0.0 makes of a minus zero a zero.
    return f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}"


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0
