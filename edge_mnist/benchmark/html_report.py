"""A benchmark document in; one HTML file out: table, plots and definitions.

The file loads nothing from elsewhere and runs no script. It follows the reader's light or dark
theme.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import html_page, plots
from .html_page import figure
from .pareto import OBJECTIVES
from .report_content import HEADER, cells, conditions, latency, models, remarks, row_name
from .svg import escaped, tag


def as_html(document: dict[str, Any]) -> str:
    """Return the page."""
    where = document["environment"]
    machine = f"{where['cpu']} · {where['cpus']} CPUs · {where['machine']} · {where['system']}"
    title = f"Prediction latency of {models(document['results'])}"
    body = "".join(
        (
            html_page.header(title, machine, _cards(document["results"])),
            html_page.remarks(remarks(document)),
            _table(document),
            tag("div", "".join(_figures(document)), class_="figures"),
            html_page.facts("Machine", _machine(document)),
            html_page.facts("Definitions", document["protocol"]["includes"].items()),
            html_page.facts("Model files", _models(document)),
            tag("footer", f"edge-mnist {escaped(where['edge_mnist'])} · {escaped(where['date'])}"),
        )
    )
    return html_page.page(f"{title} on {where['cpu']}", body)


def _cards(results: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield title, value and row of the best rows."""
    fastest = min(results, key=lambda row: row["predict_us"]["p50"])
    yield "fastest", f"{latency(fastest['predict_us'], 'p50')} µs", row_name(fastest)
    smallest = min(results, key=lambda row: row["size_bytes"])
    yield "smallest file", f"{smallest['size_bytes'] / 1000:.0f} kB", row_name(smallest)
    known = [row for row in results if row["accuracy"] is not None]
    if known:
        best = max(known, key=lambda row: row["accuracy"])
        source = f"{row_name(best)}, {best['accuracy_data']}"
        yield "most accurate", f"{100 * best['accuracy']:.2f} %", source
    known = [row for row in results if row["peak_rss_mb"] is not None]
    if known:
        least = min(known, key=lambda row: row["peak_rss_mb"])
        yield "least memory", f"{least['peak_rss_mb']:.0f} MB", row_name(least)


def _table(document: dict[str, Any]) -> str:
    header = "".join(tag("th", escaped(name)) for name in HEADER)
    rows = [_row(index, row) for index, row in enumerate(document["results"])]
    rows += [_failed_row(row) for row in document["failed"]]
    caption = (
        f"One image at a time; ± is half the 95 % interval of the median. Shaded rows are "
        f"Pareto-best: no other is better in one of {OBJECTIVES} and as good in the rest. "
        f"A dot marks a row with quality flags: see above."
    )
    table = tag("table", tag("thead", tag("tr", header)) + tag("tbody", "".join(rows)))
    return tag("section", tag("div", table, class_="wide") + tag("p", caption, class_="caption"))


def _row(index: int, row: dict[str, Any]) -> str:
    badge = tag("span", str(index + 1), class_=f"badge {plots.colour(index)}")
    content = [badge, *map(escaped, cells(row)[1:])]
    marks = [mark for key, mark in (("pareto", "pareto"), ("tainted", "flagged")) if row[key]]
    shown = "".join(tag("td", cell) for cell in content)
    return tag("tr", shown, class_=" ".join(marks) or "plain")


def _failed_row(row: dict[str, Any]) -> str:
    known = (row["label"], row["backend"], str(row["threads"]))
    reason = tag("td", escaped(f"failed: {row['error']}"), colspan=len(HEADER) - len(known) - 1)
    named = "".join(tag("td", escaped(cell)) for cell in known)
    return tag("tr", f"<td></td>{named}{reason}", class_="failed")


def _figures(document: dict[str, Any]) -> Iterator[str]:
    results = document["results"]
    counts = _span({row["predict_us"]["n"] for row in results})
    yield figure(
        "Latency distributions",
        plots.distributions(results),
        f"{counts} predictions a row. The line is the median, the ticks are p90, p99 and p99.9. "
        f"Heights are square roots of counts, to make the tail visible.",
    )
    yield _accuracy_figure(results)
    yield figure(
        "Stages of a prediction",
        plots.stages(results),
        f"Preprocess, invoke and postprocess: the calls that predict makes, timed separately. Each "
        f"includes one reading of the clock, {_span({row['timer_ns'] for row in results})} ns.",
    )
    sustained = document["protocol"]["duration_s"]
    yield figure(
        "Latency under sustained load" if sustained else "Latency over time",
        plots.over_time(results) + "".join(plots.sensors(document["evidence"]["groups"])),
        "Medians of predict in windows of equal length; the rows took turns."
        + ("" if sustained else " For sustained load: --duration 10m."),
    )


def _accuracy_figure(results: list[dict[str, Any]]) -> str:
    scatter = plots.accuracy(results)
    data = ", ".join(sorted({row["accuracy_data"] for row in results if row["accuracy_data"]}))
    return figure(
        "Accuracy against latency",
        scatter or tag("p", "No manifest states the accuracy of these files.", class_="empty"),
        f"Up and to the left is better. Filled: Pareto-best. Bars: 95 % interval of the median. "
        f"A dot's area grows with the file's size. Accuracy on {data}, as the manifest states."
        if scatter
        else "To measure it: edge-mnist evaluate.",
    )


def _span(values: set[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _machine(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    where = document["environment"]
    yield "processor", f"{where['cpu']}, {where['cpus']} usable"
    yield "features", " ".join(where["cpu_features"] or ()) or "unknown"
    for name, value in conditions(document).items():
        yield name, value or "unknown"
    yield "Python", f"{where['python']}, numpy {where['numpy']}"
    for name, version in where["runtimes"].items():
        yield name, version or "?"


def _models(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for row in document["results"]:
        yield row["label"], f"{row['size_bytes']:,} bytes, SHA-256 {row['sha256']}"
