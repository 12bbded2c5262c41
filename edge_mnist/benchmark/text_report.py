"""A benchmark document in; its text for the terminal out."""

from __future__ import annotations

from typing import Any

from ..system.text_table import table
from .pareto import OBJECTIVES
from .report_content import HEADER, UNKNOWN, cells, conditions, remarks, row_name


def as_text(document: dict[str, Any]) -> str:
    """Return the machine, a table with a line per row, and remarks."""
    where, results = document["environment"], document["results"]
    features = " ".join(where["cpu_features"] or ())
    data = sorted({row["accuracy_data"] for row in results if row["accuracy_data"]})
    flagged = any(row["tainted"] for row in results)
    lines = [
        f"{where['cpu']}, {where['cpus']} CPUs, {where['machine']}, Python {where['python']}, "
        f"numpy {where['numpy']}{features and f', {features}'}",
        "; ".join(f"{name} {value}" for name, value in conditions(document).items() if value),
        "",
        "One image at a time. p50 to p99.9: latency of predict, from pixels to digit. "
        "±: half the 95 % interval of p50.",
        "pre+invoke+post: p50 of its stages, timed separately: pixels to input tensor; copy in, "
        "run, copy out; output tensor to digit.",
        *([f"Accuracy: on {', '.join(data)}, as the manifest states."] if data else []),
        "",
        table(HEADER, [cells(row) for row in results]),
        "",
        f"* Pareto-best: no other row is better in one of {OBJECTIVES} and as good in the rest."
        + (" ! Quality flags: see below." if flagged else ""),
    ]
    return "\n".join([*lines, *remarks(document), *_windows(document)])


def _windows(document: dict[str, Any]) -> list[str]:
    """Return a table per group of the medians over time, if a duration was requested."""
    if document["protocol"]["duration_s"] is None:
        return []
    rows = {str(index): row for index, row in enumerate(document["results"], start=1)}
    names = "; ".join(f"{number}: {row_name(row)}" for number, row in rows.items())
    lines = ["", "Median of predict in every window, µs:", names]
    for index, group in enumerate(document["evidence"]["groups"]):
        own = {number: row for number, row in rows.items() if row["group"] == index}
        if own:
            lines += ["", _windows_table(own, group["readings"])]
    return lines


def _windows_table(rows: dict[str, dict[str, Any]], readings: list[dict[str, Any]]) -> str:
    medians = [
        {w["start_s"]: f"{w['p50_us']:.1f}" for w in row["windows"]} for row in rows.values()
    ]
    sensors = {
        unit: field
        for unit, field in (("MHz", "frequency_mhz"), ("°C", "temperature_c"))
        if readings[0][field] is not None
    }
    lines = []
    for start_s in sorted({start_s for row in medians for start_s in row}):
        after = next((r for r in readings if r["at_s"] > start_s), readings[-1])
        values = [after[field] for field in sensors.values()]
        shown = [UNKNOWN if value is None else f"{value:.0f}" for value in values]
        lines.append([f"{start_s:.0f} s", *(row.get(start_s, UNKNOWN) for row in medians), *shown])
    return table(("from", *rows, *sensors), lines)
