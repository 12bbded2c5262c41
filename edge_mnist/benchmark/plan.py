"""The user's options in, a `Plan` of rounds and samples out.

docs/benchmark.md describes the protocol that the plan belongs to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import DataError

# Warm-up ends when the coefficient of variation of the medians of the last STABLE_WINDOWS windows
# is at most STABLE_VARIATION: the criterion of Georges, Buytaert and Eeckhout (OOPSLA 2007).
# Ten windows of WINDOW_S seconds give a frequency governor at least 0.2 s to react.
STABLE_WINDOWS = 10
STABLE_VARIATION = 0.02
WINDOW_S = 0.02
# With --duration, samples kept of a row: about 300 kB of JSON.
MAX_SAMPLES = 12_000
# With --duration, seconds of load in a turn, at least, and turns of a row, at most.
_MIN_TURN_S = 0.2
_MAX_ROUNDS = 3000
# Windows that the samples are summarized in: without and, at most, with --duration.
_WINDOWS, _MAX_WINDOWS = 10, 30
_UNIT_S = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Plan:
    """The number of rounds, and of predictions in each.

    Attributes:
        mode: "standard", "quick", "runs" or "duration".
        rounds: turns that every row takes; with `duration_s` an estimate.
        round_samples: most predictions that are timed in one turn.
        warm_up_s, row_s: most seconds of a row's warm-up, and of all its turns.
        runs: exact number of predictions of a row.
        duration_s, turn_s: seconds of load of all rows together, and in one turn.
    """

    mode: str
    rounds: int
    round_samples: int
    warm_up_s: float
    row_s: float = 0.0
    runs: int | None = None
    duration_s: float | None = None
    turn_s: float = 0.0

    def samples(self, round_number: int, latency_s: float) -> int:
        """Return how many predictions a row times in a round; `latency_s` is that of one."""
        if self.runs is not None:
            return self.runs // self.rounds + (round_number < self.runs % self.rounds)
        turn_s = self.turn_s or self.row_s / self.rounds
        # Every sample costs two predictions: one timed as a whole, one in stages.
        return max(1, min(self.round_samples, int(turn_s / (2 * latency_s))))

    def windows(self, rounds: int) -> int:
        """Return the number of windows of equal length that summarize `rounds` rounds.

        A window spans at least three rounds: with fewer, a row could miss a window.
        """
        limit = _WINDOWS if self.duration_s is None else _MAX_WINDOWS
        return max(1, min(limit, rounds // 3))


def make_plan(
    *, quick: bool = False, runs: int | None = None, duration_s: float | None = None, rows: int
) -> Plan:
    """Return the plan for `rows` rows, with at most one of `quick`, `runs` and `duration_s`.

    Args:
        quick: finish in under 20 seconds.
        runs: predictions of each row.
        duration_s: seconds that all rows together are measured.
        rows: combinations of file, runtime and thread count.
    """
    if quick:
        # 10 s of warm-up and measurement; the other 10 s are for starting processes.
        return Plan("quick", 40, 50, warm_up_s=4 / rows, row_s=6 / rows)
    if runs is not None:
        return Plan("runs", min(runs, 40), runs, warm_up_s=2, runs=runs)
    if duration_s is not None:
        turn_s = max(_MIN_TURN_S, duration_s / (rows * _MAX_ROUNDS))
        rounds = max(1, round(duration_s / (turn_s * rows)))
        kept = min(200, MAX_SAMPLES // rounds)
        return Plan("duration", rounds, kept, 2, duration_s=duration_s, turn_s=turn_s)
    return Plan("standard", 100, 100, warm_up_s=2, row_s=20)


def parse_duration(text: str) -> float:
    """Return "30s", "10m" or "1h" in seconds.

    Raises:
        DataError: the text is no such duration, or is not between 1 second and 7 days.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    value = float(match[1]) * _UNIT_S[match[2]] if match else 0.0
    if not 1 <= value <= 7 * 24 * 3600:
        raise DataError(
            f"Expected a duration of 1s to 168h such as 30s, 10m or 1h, got {text!r}.",
            code="data-duration",
        )
    return value
