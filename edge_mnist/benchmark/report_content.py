"""Rows of a benchmark document in; the cells and sentences that text and HTML reports share out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..system.text_table import percent
from .statistics import ci95, format_rounded

# Shown where a figure is unknown.
UNKNOWN = "–"
HEADER = (
    *("", "file", "backend", "thr", "p50 µs", "±", "p90", "p99", "p99.9", "pre+invoke+post"),
    *("accuracy", "kB", "first µs", "load ms", "import ms", "peak MB"),
)


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the document as a table's cells, in the order of `HEADER`."""
    predict, peak = row["predict_us"], row["peak_rss_mb"]
    half_width = _half_width(predict, "p50")
    stages = (row["preprocess_us"], row["invoke_us"], row["postprocess_us"])
    return [
        ("*" if row["pareto"] else "") + ("!" if row["tainted"] else ""),
        row["label"],
        row["backend"],
        str(row["threads"]),
        latency(predict, "p50"),
        UNKNOWN if half_width is None else format_rounded(half_width, half_width),
        *(latency(predict, name) for name in ("p90", "p99", "p999")),
        "+".join(latency(stage, "p50") for stage in stages),
        UNKNOWN if row["accuracy"] is None else percent(row["accuracy"]),
        f"{row['size_bytes'] / 1000:.0f}",
        *(format_rounded(row[name], None) for name in ("first_us", "load_ms", "import_ms")),
        UNKNOWN if peak is None else f"{peak:.0f}",
    ]


def latency(summary: dict[str, Any], name: str) -> str:
    """Return a percentile of a summary in µs, with the digits that its interval supports."""
    if summary[name] is None:
        return UNKNOWN
    return format_rounded(summary[name], _half_width(summary, name))


def _half_width(summary: dict[str, Any], name: str) -> float | None:
    interval = ci95(summary, name)
    return None if interval is None else (interval[1] - interval[0]) / 2


def row_name(row: dict[str, Any]) -> str:
    """Return the name of a row outside of the table: file, backend, threads if several."""
    threads = f", {row['threads']} threads" if row["threads"] > 1 else ""
    return f"{row['label']} on {row['backend']}{threads}"


def models(results: list[dict[str, Any]]) -> str:
    """Return the names of the measured bundles, or files, each once; of paths their last parts."""
    paths = (Path(row["model"]["bundle"]) for row in results)
    parts = ([part for part in path.parts if part != path.anchor] for path in paths)
    return ", ".join(dict.fromkeys("/".join(own[-2:]) for own in parts))


def conditions(document: dict[str, Any]) -> dict[str, str | None]:
    """Return the machine's state, before → after the measurement; None where unknown."""
    where, evidence = document["environment"], document["evidence"]
    before, after = evidence["before"], evidence["groups"][-1]["readings"][-1]
    state: dict[str, str | None] = {"governor": where["governor"]}
    for name, field, unit in (
        ("frequency", "frequency_mhz", " MHz"),
        ("temperature", "temperature_c", " °C"),
        ("load average", "load_average", ""),
    ):
        known = before[field] is not None and after[field] is not None
        state[name] = f"{before[field]:.4g} → {after[field]:.4g}{unit}" if known else None
    throttled, cgroup = after["throttled"], where["cgroup"]
    state["throttled"] = None if throttled is None else ", ".join(throttled) or "no"
    granted = (("cpus", "CPUs"), ("memory_mb", "MB"))
    limits = [f"{cgroup[name]:g} {unit}" for name, unit in granted if cgroup[name] is not None]
    return state | {"control group": ", ".join(limits) or "no limits"}


def remarks(document: dict[str, Any]) -> list[str]:
    """Return sentences on slow int8 files, groups, failed rows and quality flags."""
    lines = list(document["notes"])
    groups = document["protocol"]["groups"]
    if groups > 1:
        lines.append(
            f"Measured in {groups} groups, because memory did not hold all processes at once: "
            f"rows of different groups did not take turns with each other."
        )
    lines += [f"Failed: {row_name(row)}: {row['error']}" for row in document["failed"]]
    return lines + _flag_lines(document["results"])


def _flag_lines(results: list[dict[str, Any]]) -> list[str]:
    """Return a line for each row with quality flags; flags of all rows have one line together."""
    shared = [
        flag
        for flag in results[0]["tainted"]
        if len(results) > 1 and all(flag in row["tainted"] for row in results)
    ]
    flags = {"all rows": shared}
    flags |= {row_name(row): [f for f in row["tainted"] if f not in shared] for row in results}
    return [f"Quality flags: {name}: {'; '.join(own)}" for name, own in flags.items() if own]
