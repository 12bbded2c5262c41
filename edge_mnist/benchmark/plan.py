"""How long to measure: the protocol of a benchmark, before there is any clock.

Every row is a file in a runtime with a number of threads, in a process of its own. All are
started and loaded first, then warmed up, then take turns in rounds in an order shuffled anew each
time: what drifts (temperature, frequency, another program) hits all alike.

Warm-up goes on until it is stable: the coefficient of variation of the medians of the last
`STABLE_WINDOWS` windows is at most `STABLE_VARIATION`. That is the criterion of A. Georges,
D. Buytaert and L. Eeckhout, Statistically Rigorous Java Performance Evaluation, OOPSLA 2007, on
medians, which a single interruption does not move. A row that is not stable when `warm_up_s` is
over is measured all the same, and tainted.

A round begins with predictions that are not counted: meanwhile other rows had the caches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import DataError

# 0.2 s at least, in which a governor has raised the frequency.
STABLE_WINDOWS = 10
STABLE_VARIATION = 0.02
WINDOW_S = 0.02
# What a row's samples are thinned to where the time is given: some 300 kB of JSON a row.
MOST_SAMPLES = 12_000
# One turn of unbroken load, at least, and how many of them at most, which bounds the samples; the
# first half of a turn is of `predict`, the second of its stages.
_TURN_S = 0.2
_MOST_ROUNDS = 3000
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Plan:
    """What is asked for: `runs` predictions a row exactly, or else a time.

    `rounds` is how many turns a row takes, `a_round` how many predictions are timed in one
    at most, `steady_s` what all of a row's turns should take at most, `warm_up_s` what its
    warm-up may. With `duration_s`, that is how long all rows together are measured: every turn
    is then `turn_s` of load, and what is kept of its samples is thinned evenly.
    """

    mode: str
    rounds: int
    a_round: int
    warm_up_s: float
    steady_s: float
    runs: int | None = None
    duration_s: float | None = None
    turn_s: float = 0.0

    def size(self, number: int, pace_s: float) -> int:
        """Return how many predictions a row times in a round that takes `pace_s` for one."""
        if self.runs is not None:
            return self.runs // self.rounds + (number < self.runs % self.rounds)
        turn_s = self.turn_s or self.steady_s / self.rounds
        # Each is timed twice: whole, and in its stages.
        return max(1, min(self.a_round, int(turn_s / (2 * pace_s))))


def choose(
    *, quick: bool = False, runs: int | None = None, duration_s: float | None = None, rows: int
) -> Plan:
    """Return the plan for so many rows: at most one of `quick`, `runs` and `duration_s`."""
    if quick:
        # Half of the 20 s that it may take; the other half is for starting.
        return Plan("quick", 40, 50, warm_up_s=4 / rows, steady_s=6 / rows)
    if runs is not None:
        return Plan("runs", min(runs, 40), runs, warm_up_s=2, steady_s=0, runs=runs)
    if duration_s is not None:
        turn_s = max(_TURN_S, duration_s / (rows * _MOST_ROUNDS))
        rounds = max(1, round(duration_s / (turn_s * rows)))
        kept = min(200, MOST_SAMPLES // rounds)
        return Plan("duration", rounds, kept, 2, 0, duration_s=duration_s, turn_s=turn_s)
    return Plan("standard", 100, 100, warm_up_s=2, steady_s=20)


def seconds(text: str) -> float:
    """Return "30s", "10m" or "1h" in seconds.

    Raises:
        DataError: anything else, or more than a week.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1 <= value <= 7 * 24 * 3600:
        raise DataError(f"Expected a duration of 1s to 168h such as 30s, 10m or 1h, got {text!r}.")
    return value
