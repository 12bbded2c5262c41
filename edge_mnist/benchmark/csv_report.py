"""A benchmark document in; CSV out, with a line per row. Failed rows have a reason, no figures."""

from __future__ import annotations

import csv
import io
from typing import Any

from .statistics import PERCENTILES, ci95
from .worker import STAGES

_FIRST = (
    *("label", "file", "folder", "backend", "runtime", "threads", "batch", "format", "precision"),
    *("sha256", "size_bytes", "accuracy", "accuracy_data", "import_ms", "load_ms", "first_us"),
)
_LAST = ("peak_rss_mb", "pareto", "tainted", "error")


def as_csv(document: dict[str, Any]) -> str:
    """Return a header and the rows of a document; a cell is empty where the value is unknown."""
    rows = [_cells(row) for row in (*document["results"], *document["failed"])]
    header = list(dict.fromkeys((*_FIRST, *(name for row in rows for name in row))))
    header = [*(name for name in header if name not in _LAST), *_LAST]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    cells = {name: row[name] for name in (*_FIRST, *_LAST) if name in row}
    if "tainted" in row:
        cells["tainted"] = "; ".join(row["tainted"])
    for stage in ("predict", *STAGES):
        if summary := row.get(f"{stage}_us"):
            cells |= {f"{stage}_n": summary["n"], f"{stage}_mean_us": summary["mean"]}
            for name in PERCENTILES:
                low, high = ci95(summary, name) or (None, None)
                cells[f"{stage}_{name}_us"] = summary[name]
                cells |= {f"{stage}_{name}_low_us": low, f"{stage}_{name}_high_us": high}
    return cells
