"""A file of `edge-mnist benchmark --json` in; the rows of the page's latency panel out."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from ..benchmark.document import reading
from ..errors import DataError

# Bytes. The raw samples of a long benchmark with many rows take a few megabytes.
_MAX_BYTES = 50_000_000


def read_panel(path: Path | None) -> dict[str, Any] | None:
    """Return `date` and `cpu` of a benchmark, and `rows` with latencies in microseconds.

    Args:
        path: the file; None takes the newest benchmark in the working folder, if any.

    Raises:
        DataError: the file at `path` is not a benchmark.
    """
    if path is not None:
        return _read(path)
    by_time = sorted(((_modified_ns(path), path) for path in Path().glob("*.json")), reverse=True)
    panels = (_read_cached(path, modified_ns) for modified_ns, path in by_time)
    return next((panel for panel in panels if panel is not None), None)


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # The file was deleted in the meantime.
        return 0


@lru_cache(maxsize=64)
def _read_cached(path: Path, _modified_ns: int) -> dict[str, Any] | None:
    """Return the panel of a file, or None if it is no benchmark; cached until it is modified."""
    try:
        return _read(path)
    except DataError:
        return None


def _read(path: Path) -> dict[str, Any]:
    with reading(path, most_bytes=_MAX_BYTES) as content:
        environment = content["environment"]
        rows = [_row(row) for row in content["results"]]
        return {"date": str(environment["date"]), "cpu": str(environment["cpu"]), "rows": rows}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    accuracy = row["accuracy"]
    return {
        "file": str(row["file"]),
        "backend": str(row["backend"]),
        "threads": int(row["threads"]),
        "p50_us": float(row["predict_us"]["p50"]),
        "p99_us": float(row["predict_us"]["p99"]),
        "size_bytes": int(row["size_bytes"]),
        "accuracy": None if accuracy is None else float(accuracy),
        "accuracy_data": row["accuracy_data"],
        "tainted": bool(row["tainted"]),
    }
