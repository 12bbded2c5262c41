"""The newest benchmark, for the page's panel."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..benchmark.document import reading
from ..errors import DataError

# The raw samples of a long benchmark of many rows are some megabytes.
_MOST_BYTES = 50_000_000


def newest(folder: Path) -> dict[str, Any] | None:
    """Return the newest in a folder of what `edge-mnist benchmark --json` wrote, if any."""
    changed = sorted((_changed_ns(path), path) for path in folder.glob("*.json"))
    found = (_read_once(path, at_ns) for at_ns, path in reversed(changed))
    return next((panel for panel in found if panel is not None), None)


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # Gone meanwhile.
        return 0


@lru_cache(maxsize=64)
def _read_once(path: Path, _: int) -> dict[str, Any] | None:
    """Return the panel of a file as it is since a time; None where it is no benchmark."""
    try:
        return read(path)
    except DataError:
        return None


def read(path: Path) -> dict[str, Any]:
    """Return what the panel shows of a benchmark file.

    Raises:
        DataError: it is none.
    """
    with reading(path, most_bytes=_MOST_BYTES) as content:
        where = content["environment"]
        return {
            "date": str(where["date"]),
            "cpu": str(where["cpu"]),
            "rows": list(_rows(content["results"])),
        }


def _rows(results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in results:
        accuracy = row["accuracy"]
        yield {
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
