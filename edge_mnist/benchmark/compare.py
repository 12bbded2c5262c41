"""Two benchmark files in, a verdict per row out: slower, faster, within the limit or unclear.

docs/benchmark.md explains the decision rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, GateError
from ..system.text_table import table
from .document import reading
from .statistics import Rounds, bootstrap, central_interval, round_medians_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEY = ("file", "backend", "threads", "batch")
_LEVEL = 0.99
_RESAMPLES = 1000
# Percentile of the rounds' medians that background load rarely reaches.
_QUIET_PERCENTILE = 10

# (file, backend, threads, batch) of a row.
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Change:
    """One row of both files, compared by the median of `predict` in microseconds.

    Attributes:
        median_interval: 99 % bootstrap interval of new over old median; None without samples.
        quiet_interval: the same of the tenth percentiles of the rounds' medians.
        flagged: those of "A" and "B" whose row has quality flags.
        same_file: whether both rows state the same SHA-256 of the model file; None if one has none.
    """

    key: Key
    old_us: float
    new_us: float
    median_interval: tuple[float, float] | None = None
    quiet_interval: tuple[float, float] | None = None
    flagged: tuple[str, ...] = ()
    same_file: bool | None = None

    @property
    def ratio(self) -> float:
        """New median over old median; above 1 is slower."""
        return self.new_us / self.old_us

    def verdict(self, limit: float) -> str:
        """Return "slower", "faster", "within the limit" or "unclear".

        Args:
            limit: relative change that is tolerated, such as 0.1 for 10 %.
        """
        if self.median_interval is None or self.quiet_interval is None:
            return "slower" if self.ratio > 1 + limit else "within the limit"
        low = min(self.median_interval[0], self.quiet_interval[0])
        high = max(self.median_interval[1], self.quiet_interval[1])
        if low > 1 + limit:
            return "slower"
        if high * (1 + limit) < 1:
            return "faster"
        if high <= 1 + limit and low * (1 + limit) >= 1:
            return "within the limit"
        return "unclear"


@dataclass(frozen=True)
class Comparison:
    """The comparison of A (old) and B (new): common rows, rows that failed in B, warnings."""

    changes: list[Change]
    failed: list[str]
    warnings: list[str]

    def text(self, limit: float) -> str:
        """Return a table with a line per change; `limit` as for `Change.verdict`."""
        header = ("file", "backend", "threads", "batch", "A µs", "B µs", "B/A", "99 % interval")
        return table((*header, "verdict"), [_cells(change, limit) for change in self.changes])

    def to_json(self, limit: float) -> dict[str, Any]:
        """Return the document of `compare --json`; `limit` as for `Change.verdict`."""
        return {
            "limit": limit,
            "rows": [_row_json(change, limit) for change in self.changes],
            "failed": self.failed,
            "warnings": self.warnings,
        }

    def check(self, limit: float, *, strict: bool = False) -> None:
        """Raise GateError where a row is slower than `limit` allows, or failed in B.

        With `strict`, an unclear row is an error too.
        """
        slower = [change for change in self.changes if change.verdict(limit) == "slower"]
        if slower:
            worst = max(slower, key=lambda change: change.ratio)
            raise GateError(
                f"Expected no median over {limit:.0%} slower, got {len(slower)}, "
                f"the worst {worst.key[0]} on {worst.key[1]} at {worst.ratio:.2f} times.",
                code="gate-benchmark-slower",
            )
        if self.failed:
            raise GateError(
                f"Expected every row of A in B, got one that failed: {self.failed[0]}",
                code="gate-benchmark-failed",
            )
        unclear = [change for change in self.changes if change.verdict(limit) == "unclear"]
        if strict and unclear:
            raise GateError(
                f"Expected a clear verdict on every row, got {len(unclear)} unclear, such as "
                f"{unclear[0].key[0]} on {unclear[0].key[1]}; measure for longer, or on an idle "
                f"machine.",
                code="gate-benchmark-unclear",
            )


def _cells(change: Change, limit: float) -> list[str]:
    interval = change.median_interval
    shown = "–" if interval is None else "{:.3f} to {:.3f}".format(*interval)
    verdict = change.verdict(limit)
    if verdict == "unclear":
        verdict += ": the noise is larger than the limit"
    verdict += f" (quality flags: {', '.join(change.flagged)})" if change.flagged else ""
    figures = f"{change.old_us:.1f}", f"{change.new_us:.1f}", f"{change.ratio:.2f}"
    return [*map(str, change.key), *figures, shown, verdict]


def _row_json(change: Change, limit: float) -> dict[str, Any]:
    return {
        **dict(zip(_KEY, change.key, strict=True)),
        "a_us": change.old_us,
        "b_us": change.new_us,
        "ratio": change.ratio,
        "interval": change.median_interval,
        "quiet_interval": change.quiet_interval,
        "verdict": change.verdict(limit),
        "same_file": change.same_file,
        "flagged": list(change.flagged),
    }


def compare(old: Path, new: Path) -> Comparison:
    """Compare the rows that two benchmark files have in common.

    Args:
        old, new: files that `edge-mnist benchmark --json` wrote.

    Raises:
        DataError: one is not a benchmark file, or they have no row in common.
    """
    before, after = _File.read(old), _File.read(new)
    changes = [
        _change(key, row, after.rows[key]) for key, row in before.rows.items() if key in after.rows
    ]
    missing = {key: ", ".join(map(str, key)) for key in before.rows if key not in after.rows}
    failed = [f"{name}: {after.failed[k]}" for k, name in missing.items() if k in after.failed]
    if not changes and not failed:
        raise DataError(
            f"Expected rows of the same file, backend, threads and batch in {old} and {new}, "
            f"got none in common.",
            code="data-benchmark-rows",
        )
    warnings = [f"{new} has no row of {n}" for key, n in missing.items() if key not in after.failed]
    if before.cpu != after.cpu:
        warnings.append(f"other processors: {before.cpu} in {old}, {after.cpu} in {new}")
    if others := sorted({str(change.key[0]) for change in changes if change.same_file is False}):
        warnings.append(f"not the same model: {', '.join(others)} has another SHA-256 in {new}")
    return Comparison(changes, failed, warnings)


def _change(key: Key, old: _Row, new: _Row) -> Change:
    flagged = tuple(name for name, row in (("A", old), ("B", new)) if row.flagged)
    known = old.sha256 is not None and new.sha256 is not None
    same_file = old.sha256 == new.sha256 if known else None
    if len(old.rounds) < 2 or len(new.rounds) < 2:
        return Change(key, old.p50_us, new.p50_us, flagged=flagged, same_file=same_file)
    medians = [
        bootstrap(row.rounds, (0.5,), resamples=_RESAMPLES, seed=seed)[:, 0]
        for seed, row in enumerate((old, new))
    ]
    quiet = [_quiet_medians(row.rounds, seed) for seed, row in enumerate((old, new))]
    intervals = _ratio_interval(*medians), _ratio_interval(*quiet)
    return Change(key, old.p50_us, new.p50_us, *intervals, flagged, same_file)


def _quiet_medians(rounds: Rounds, seed: int) -> NDArray[np.float64]:
    """Return the tenth percentile of the rounds' medians in every resample."""
    medians = round_medians_ns(rounds)
    drawn = np.random.default_rng(seed).integers(0, len(medians), (_RESAMPLES, len(medians)))
    return np.asarray(np.percentile(medians[drawn], _QUIET_PERCENTILE, axis=1))


def _ratio_interval(old: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[float, float]:
    low, high = central_interval(new / old, _LEVEL)
    return float(low), float(high)


@dataclass(frozen=True)
class _Row:
    p50_us: float
    rounds: Rounds
    flagged: bool
    sha256: str | None  # Of the model file; None where the document has none.


@dataclass(frozen=True)
class _File:
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
                p50_us = _check_median(row["predict_us"]["p50"])
                rows[key] = _Row(p50_us, _samples(row), bool(row.get("tainted")), row.get("sha256"))
            failed = {_key(row): str(row["error"]) for row in content.get("failed", ())}
            return cls(rows, failed, str(content.get("environment", {}).get("cpu", "unknown")))


def _key(row: Mapping[str, Any]) -> Key:
    return (row.get("label", row["file"]), *(row[field] for field in _KEY[1:]))


def _samples(row: Mapping[str, Any]) -> Rounds:
    """Return the samples of `predict`; none where the file has none, as a reference file."""
    rounds = row.get("samples_ns", {}).get("predict", [])
    for part in rounds:
        if not part or not all(type(value) is int and 0 < value < 1 << 62 for value in part):
            raise ValueError(f"samples of {row['file']} that are not positive integers")
    return list(rounds)


def _check_median(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"a median of {value!r}")
    return float(value)
