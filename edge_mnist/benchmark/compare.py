"""Two benchmark files, row by row."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError

SCHEMA = 1
_KEY = ("file", "backend", "threads", "batch")


@dataclass(frozen=True)
class Change:
    """One row in both files: `ratio` is the new median of `predict_us` over the old."""

    key: tuple[Any, ...]
    old_us: float
    new_us: float

    @property
    def ratio(self) -> float:
        """New over old; above 1 is slower."""
        return self.new_us / self.old_us


def compare(old: Path, new: Path) -> tuple[list[Change], list[tuple[Any, ...]]]:
    """Return the rows that both files hold, and the keys of those that only the first has.

    Raises:
        DataError: a file that is not a benchmark, or no row in common.
    """
    before, after = _medians(old), _medians(new)
    changes = [Change(key, before[key], after[key]) for key in before if key in after]
    if not changes:
        raise DataError(
            f"Expected rows of the same file, backend, threads and batch in {old} and {new}, "
            f"got none in common."
        )
    return changes, [key for key in before if key not in after]


def _medians(path: Path) -> dict[tuple[Any, ...], float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}")
        medians: dict[tuple[Any, ...], float] = {}
        for row in content["results"]:
            key = tuple(row[field] for field in _KEY)
            if key in medians:
                raise ValueError(f"two rows of {key}")
            medians[key] = _positive(row["predict_us"]["p50"])
        return medians
    except OSError as error:
        raise DataError(f"Expected a benchmark file at {path}, got: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(
            f"Expected a benchmark file of schema {SCHEMA} (edge-mnist benchmark --json FILE), "
            f"got {path}: {error!r}."
        ) from error


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"a median of {value!r}")
    return float(value)
