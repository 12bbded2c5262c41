"""Two benchmark files, row by row: change told from noise."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, GateError
from ..system.text_table import table
from .statistics import interval, medians_ns, resampled

# 1: as in 0.1.0. Keys are only ever added; a number above 1 would mean that one has changed its
# meaning or is gone. schema-1.json describes it.
SCHEMA = 1
_KEY = ("file", "backend", "threads", "batch")
_LEVEL = 0.99
_RESAMPLES = 1000
# Of the rounds' medians, what another process has not disturbed.
_QUIET = 10

Key = tuple[Any, ...]
_Rounds = list[list[int]]


@dataclass(frozen=True)
class Change:
    """One row in both files, by the median of `predict_us`.

    `interval` is of `ratio` at 99 %: rounds of both files drawn anew, independently. `quiet` is
    the ratio of the tenth percentiles of the rounds' medians, and its interval. Noise comes in
    bursts and moves the median of a whole run more than its interval shows, while a change of
    the program slows the quietest rounds just as much: a change has to show in both. They are
    None for files without samples.
    """

    key: Key
    old_us: float
    new_us: float
    interval: tuple[float, float] | None = None
    quiet: tuple[float, float] | None = None
    tainted: str = ""

    @property
    def ratio(self) -> float:
        """New over old; above 1 is slower."""
        return self.new_us / self.old_us

    def verdict(self, limit: float) -> str:
        """Return "slower" or "faster" where it is so beyond the limit, else what can be said.

        Of smaller changes nothing is said: two processes of one file differ by a percent or so,
        by where their memory lies, and the interval of a single process does not show that.
        """
        if self.interval is None or self.quiet is None:
            return "slower" if self.ratio > 1 + limit else "within the limit"
        low = min(self.interval[0], self.quiet[0])
        high = max(self.interval[1], self.quiet[1])
        if low > 1 + limit:
            return "slower"
        if high * (1 + limit) < 1:
            return "faster"
        if high <= 1 + limit and low * (1 + limit) >= 1:
            return "within the limit"
        return "unclear: the noise is larger than the limit"


@dataclass(frozen=True)
class Comparison:
    """The rows in both files, and what else is to be said of the two.

    `failed` are reasons of rows that A has and B failed to measure.
    """

    changes: list[Change]
    failed: list[str]
    warnings: list[str]

    def text(self, limit: float) -> str:
        """Return a table, a row a change."""
        header = ("file", "backend", "threads", "batch", "A µs", "B µs", "B/A", "99 % interval")
        return table((*header, "verdict"), [_row(change, limit) for change in self.changes])

    def hold(self, limit: float) -> None:
        """Raise GateError where a row has become slower than the limit, or failed."""
        slower = [change for change in self.changes if change.verdict(limit) == "slower"]
        if slower:
            worst = max(slower, key=lambda change: change.ratio)
            raise GateError(
                f"Expected no median over {limit:.0%} slower, got {len(slower)}, "
                f"the worst {worst.key[0]} on {worst.key[1]} at {worst.ratio:.2f} times."
            )
        if self.failed:
            raise GateError(f"Expected every row of A in B, got one that failed: {self.failed[0]}")


def _row(change: Change, limit: float) -> list[str]:
    span = "–" if change.interval is None else "{:.3f} to {:.3f}".format(*change.interval)
    verdict = change.verdict(limit) + (f" ({change.tainted})" if change.tainted else "")
    figures = f"{change.old_us:.1f}", f"{change.new_us:.1f}", f"{change.ratio:.2f}"
    return [*map(str, change.key), *figures, span, verdict]


def compare(old: Path, new: Path) -> Comparison:
    """Compare the rows that both files hold.

    Raises:
        DataError: a file that is not a benchmark, or no row in common.
    """
    before, after = _File.read(old), _File.read(new)
    changes = [
        _change(key, row, after.rows[key]) for key, row in before.rows.items() if key in after.rows
    ]
    lost = [key for key in before.rows if key not in after.rows]
    if not changes and not any(key in after.failed for key in lost):
        raise DataError(
            f"Expected rows of the same file, backend, threads and batch in {old} and {new}, "
            f"got none in common."
        )
    warnings = [
        f"{new} has no row of {', '.join(map(str, key))}" for key in lost if key not in after.failed
    ]
    if before.cpu != after.cpu:
        warnings.append(f"other processors: {before.cpu} in {old}, {after.cpu} in {new}")
    failed = [
        f"{', '.join(map(str, key))}: {after.failed[key]}" for key in lost if key in after.failed
    ]
    return Comparison(changes, failed, warnings)


def _change(key: Key, old: _Row, new: _Row) -> Change:
    names = [name for name, row in (("A", old), ("B", new)) if row.tainted]
    tainted = f"tainted: {', '.join(names)}" if names else ""
    if len(old.rounds) < 2 or len(new.rounds) < 2:
        return Change(key, old.p50_us, new.p50_us, tainted=tainted)
    drawn = [
        resampled(row.rounds, (0.5,), resamples=_RESAMPLES, seed=seed)[:, 0]
        for seed, row in enumerate((old, new))
    ]
    quiet = [_quiet(row.rounds, seed) for seed, row in enumerate((old, new))]
    return Change(key, old.p50_us, new.p50_us, _span(*drawn), _span(*quiet), tainted)


def _quiet(rounds: _Rounds, seed: int) -> Any:
    """Return the tenth percentile of the rounds' medians in every resample."""
    medians = medians_ns(rounds)
    drawn = np.random.default_rng(seed).integers(0, len(medians), (_RESAMPLES, len(medians)))
    return np.percentile(medians[drawn], _QUIET, axis=1)


def _span(old: Any, new: Any) -> tuple[float, float]:
    low, high = interval(new / old, _LEVEL)
    return float(low), float(high)


@dataclass(frozen=True)
class _Row:
    p50_us: float
    rounds: _Rounds
    tainted: bool


@dataclass(frozen=True)
class _File:
    """What is compared of a benchmark file, checked."""

    rows: dict[Key, _Row]
    failed: dict[Key, str]
    cpu: str

    @classmethod
    def read(cls, path: Path) -> _File:
        with reading(path) as content:
            rows: dict[Key, _Row] = {}
            for row in content["results"]:
                key = _key(row)
                if key in rows:
                    raise ValueError(f"two rows of {key}")
                rows[key] = _Row(
                    _positive(row["predict_us"]["p50"]), _samples(row), bool(row.get("tainted"))
                )
            failed = {_key(row): str(row["error"]) for row in content.get("failed", ())}
            return cls(rows, failed, str(content.get("environment", {}).get("cpu", "unknown")))


@contextlib.contextmanager
def reading(path: Path, *, most_bytes: float = math.inf) -> Iterator[Any]:
    """Yield what a benchmark file holds.

    Raises:
        DataError: it cannot be read, is too large, or lacks what is taken from it within.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise ValueError(f"{path.stat().st_size} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}")
        yield content
    except OSError as error:
        raise DataError(f"Expected a benchmark file at {path}, got: {error.strerror}.") from error
    except (
        *(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
    ) as error:
        raise DataError(
            f"Expected a benchmark file of schema {SCHEMA} (edge-mnist benchmark --json FILE), "
            f"got {path}: {error!r:.200}."
        ) from error


def _key(row: Mapping[str, Any]) -> Key:
    return (row.get("label", row["file"]), *(row[field] for field in _KEY[1:]))


def _samples(row: Mapping[str, Any]) -> _Rounds:
    """Return the raw samples of `predict`, none where the file has none."""
    rounds = row.get("samples_ns", {}).get("predict", [])
    for part in rounds:
        if not part or not all(type(value) is int and 0 < value < 1 << 62 for value in part):
            raise ValueError(f"samples of {row['file']} that are no nanoseconds")
    return list(rounds)


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"a median of {value!r}")
    return float(value)
