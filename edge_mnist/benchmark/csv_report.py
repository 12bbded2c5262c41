"""A benchmark as CSV: a line a row, failed ones with their reason and no figures."""

from __future__ import annotations

import csv
import io
from typing import Any

_FIRST = (
    *("label", "file", "folder", "backend", "runtime", "threads", "batch", "format", "precision"),
    *("sha256", "size_bytes", "accuracy", "accuracy_data", "import_ms", "load_ms", "first_us"),
)
_STAGES = ("predict", "preprocess", "invoke", "postprocess")
_LAST = ("peak_rss_mb", "pareto", "tainted", "error")


def as_csv(document: dict[str, Any]) -> str:
    """Return the rows of a document; what is not known is an empty cell."""
    rows = [_flat(row) for row in (*document["results"], *document["failed"])]
    header = list(dict.fromkeys((*_FIRST, *(name for row in rows for name in row))))
    header = [*(name for name in header if name not in _LAST), *_LAST]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    cells = {name: row[name] for name in (*_FIRST, *_LAST) if name in row}
    if "tainted" in row:
        cells["tainted"] = "; ".join(row["tainted"])
    for stage in _STAGES:
        if f"{stage}_us" in row:
            cells |= _percentiles(stage, row[f"{stage}_us"])
    return cells


def _percentiles(stage: str, summary: dict[str, Any]) -> dict[str, Any]:
    cells = {f"{stage}_n": summary["n"], f"{stage}_mean_us": summary["mean"]}
    for name in ("p50", "p90", "p99", "p999"):
        low, high = (summary["ci95"] or {}).get(name, (None, None))
        cells[f"{stage}_{name}_us"] = summary[name]
        cells |= {f"{stage}_{name}_low_us": low, f"{stage}_{name}_high_us": high}
    return cells
