"""Latency samples in; percentiles with bootstrap confidence intervals out. Pure functions.

Samples are integers in nanoseconds, grouped in rounds. Samples of one round are correlated (same
caches, frequency and background load); rounds are nearly independent. The bootstrap therefore
draws whole rounds with replacement: a block bootstrap (Efron and Tibshirani, An Introduction to
the Bootstrap, 1993, section 8.6). Drawing single samples would give intervals that are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rounds = Sequence[Sequence[int]]

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
# Samples that a percentile needs. With fewer than 1,000, p99.9 would be the maximum.
_MIN_SAMPLES = {"p999": 1000}
_RESAMPLES = 400


def summary(rounds: Rounds) -> dict[str, Any]:
    """Return count, mean, percentiles and their 95 % confidence intervals.

    Args:
        rounds: samples in nanoseconds.

    Returns:
        `n`; in microseconds `mean`, `p50`, `p90`, `p99`, `p999` (None below 1,000 samples); `ci95`:
        (low, high) by percentile, None for a single round. Percentiles are interpolated
        linearly, as numpy does.
    """
    samples = np.concatenate([np.asarray(part, np.float64) for part in rounds]) / 1000
    wanted = {
        name: q for name, q in PERCENTILES.items() if len(samples) >= _MIN_SAMPLES.get(name, 1)
    }
    values = np.percentile(samples, [100 * q for q in wanted.values()])
    points = dict(zip(wanted, (round(float(value), 2) for value in values), strict=True))
    return {
        "n": len(samples),
        "mean": round(float(samples.mean()), 2),
        **{name: points.get(name) for name in PERCENTILES},
        "ci95": _intervals(rounds, wanted),
    }


def _intervals(rounds: Rounds, wanted: dict[str, float]) -> dict[str, list[float]] | None:
    if len(rounds) < 2:
        return None
    low, high = central_interval(bootstrap(rounds, tuple(wanted.values())) / 1000, 0.95)
    return {
        name: [round(float(low[i]), 2), round(float(high[i]), 2)] for i, name in enumerate(wanted)
    }


def ci95(summary: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """Return a percentile's 95 % confidence interval in a `summary`, None where it has none."""
    interval = (summary["ci95"] or {}).get(name)
    return None if interval is None else (interval[0], interval[1])


def p50_interval(row: Mapping[str, Any]) -> tuple[float, float]:
    """Return the 95 % interval of a row's p50 of `predict` (µs); without one, p50 itself twice."""
    p50 = row["predict_us"]["p50"]
    return ci95(row["predict_us"], "p50") or (p50, p50)


def central_interval(statistics: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return (low, high) that hold the central `level` of bootstrap statistics (resamples, …)."""
    tail = (1 - level) / 2
    limits: NDArray[np.float64] = np.percentile(statistics, [100 * tail, 100 * (1 - tail)], axis=0)
    return limits


def bootstrap(
    rounds: Rounds, fractions: Sequence[float], *, resamples: int = _RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Return percentiles (resamples, fractions), in nanoseconds, of rounds drawn anew.

    The samples are sorted once. A resample is the number of times that each round was drawn; a
    percentile is the sample where the running sum of these numbers reaches the fraction.
    """
    lengths = [len(part) for part in rounds]
    samples = np.concatenate([np.asarray(part, np.int64) for part in rounds])
    order = np.argsort(samples, kind="stable")
    samples, owner = samples[order], np.repeat(np.arange(len(rounds)), lengths)[order]
    random = np.random.default_rng(seed)
    results = np.empty((resamples, len(fractions)))
    for index in range(resamples):
        # intp, because bincount refuses int64 on a 32-bit system.
        drawn = random.integers(0, len(rounds), len(rounds), np.intp)
        reached = np.cumsum(np.bincount(drawn, minlength=len(rounds))[owner])
        ranks = np.asarray(fractions) * reached[-1]
        results[index] = samples[np.searchsorted(reached, ranks, side="left")]
    return results


def median_ns(rounds: Rounds) -> float:
    """Return the median of all samples, in nanoseconds."""
    return float(np.median(np.concatenate([np.asarray(part) for part in rounds])))


def round_medians_ns(rounds: Rounds) -> NDArray[np.float64]:
    """Return the median of each round, in nanoseconds."""
    return np.array([np.median(part) for part in rounds])


def format_rounded(value: float, half_width: float | None) -> str:
    """Return a value with only the digits that its confidence interval supports.

    The last digit has the magnitude of `half_width`, half the interval's width. It is never finer
    than 0.01 and never coarser than the value's first digit. None gives three significant digits.
    """
    if half_width is None:
        decimals = 2 - _magnitude(value)
    elif half_width == 0:
        decimals = 2
    else:
        decimals = -min(_magnitude(half_width), _magnitude(value))
    decimals = min(decimals, 2)
    # + 0.0 turns -0.0 into 0.0.
    return f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}"


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0
