"""A benchmark as one HTML file: a table, plots, and what the figures are of.

It asks for nothing from anywhere and runs no script; light or dark as the reader's system is.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from . import plots, report
from .pareto import OVER
from .svg import escaped, tag


def as_html(document: dict[str, Any]) -> str:
    """Return the page."""
    where = document["environment"]
    style = (files(__package__) / "html_report.css").read_text(encoding="utf-8")
    body = "".join(
        (
            _header(where, document),
            _remarks(document),
            _table(document),
            tag("div", "".join(_figures(document)), class_="figures"),
            _facts("The machine", _machine(document)),
            _facts("What each figure is of", document["protocol"]["includes"].items()),
            _facts("The files", _models(document)),
            tag("footer", f"edge-mnist {escaped(where['edge_mnist'])} · {escaped(where['date'])}"),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>What a prediction costs: {escaped(where['cpu'])}</title>"
        f"<style>\n{style}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def _header(where: dict[str, Any], document: dict[str, Any]) -> str:
    machine = f"{where['cpu']} · {where['cpus']} CPUs · {where['machine']} · {where['system']}"
    fastest = min(document["results"], key=lambda row: row["predict_us"]["p50"])
    cards = [
        ("fastest", f"{report.latency(fastest['predict_us'], 'p50')} µs", plots.row_name(fastest)),
        *_cards(document["results"]),
    ]
    shown = "".join(
        tag(
            "div",
            tag("span", name) + tag("b", escaped(value)) + tag("small", escaped(of)),
            class_="card",
        )
        for name, value, of in cards
    )
    return tag(
        "header",
        tag("h1", "What a prediction costs")
        + tag("p", escaped(machine))
        + tag("div", shown, class_="cards"),
    )


def _cards(results: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    smallest = min(results, key=lambda row: row["size_bytes"])
    yield "smallest file", f"{smallest['size_bytes'] / 1000:.0f} kB", plots.row_name(smallest)
    known = [row for row in results if row["accuracy"] is not None]
    if known:
        best = max(known, key=lambda row: row["accuracy"])
        value = f"{100 * best['accuracy']:.2f} %"
        yield "most accurate", value, f"{plots.row_name(best)}, {best['accuracy_data']}"
    measured = [row for row in results if row["peak_rss_mb"] is not None]
    if measured:
        least = min(measured, key=lambda row: row["peak_rss_mb"])
        yield "least memory", f"{least['peak_rss_mb']:.0f} MB", plots.row_name(least)


def _remarks(document: dict[str, Any]) -> str:
    lines = report.remarks(document)
    items = "".join(tag("li", escaped(line)) for line in lines)
    return tag("ul", items, class_="remarks") if items else ""


def _table(document: dict[str, Any]) -> str:
    header = "".join(tag("th", escaped(name)) for name in ("", *report.HEADER[1:]))
    rows = []
    for index, row in enumerate(document["results"]):
        badge = tag("span", str(index + 1), class_=f"badge {plots.colour(index)}")
        shown = [tag("td", badge), *(tag("td", escaped(cell)) for cell in report.cells(row)[1:])]
        marks = [name for name in ("pareto", "tainted") if row[name]]
        rows.append(tag("tr", "".join(shown), class_=" ".join(marks) or "plain"))
    width = len(report.HEADER)
    for row in document["failed"]:
        reason = escaped(f"failed: {row['error']}")
        cells = (row["label"], row["backend"], str(row["threads"]))
        named = "".join(tag("td", escaped(cell)) for cell in cells)
        rest = tag("td", reason, colspan=width - len(cells) - 1)
        rows.append(tag("tr", f"<td></td>{named}{rest}", class_="failed"))
    caption = (
        f"One image at a time; ± is half the 95 % interval of the median. Shaded rows are "
        f"Pareto-best: no other is better in one of {OVER} and as good in the rest. "
        f"A dot marks a tainted row: the reasons stand above."
    )
    table = tag("table", tag("thead", tag("tr", header)) + tag("tbody", "".join(rows)))
    return tag("section", tag("div", table, class_="wide") + tag("p", caption, class_="caption"))


def _figures(document: dict[str, Any]) -> Iterator[str]:
    results = document["results"]
    counts = {row["predict_us"]["n"] for row in results}
    yield _figure(
        "Latency distributions",
        plots.distributions(results),
        f"{_span(counts)} predictions a row. The line is the median, the ticks are p90, p99 and "
        f"p99.9. Heights are square roots of counts, so that the tail is seen.",
    )
    scatter = plots.accuracy(results)
    data = ", ".join(sorted({row["accuracy_data"] for row in results if row["accuracy_data"]}))
    yield _figure(
        "Accuracy against latency",
        scatter or tag("p", "No manifest states the accuracy of these files.", class_="nothing"),
        f"Up and to the left is better. Filled: Pareto-best. Bars: 95 % interval of the median. "
        f"The larger the dot, the larger the file. Accuracy on {data}, as the manifest states."
        if scatter
        else "To measure it: edge-mnist evaluate.",
    )
    yield _figure(
        "Stages of a prediction",
        plots.stages(results),
        f"Preprocess, invoke and postprocess, timed apart in the calls that predict makes; each "
        f"holds one reading of the clock, {_span({row['timer_ns'] for row in results})} ns.",
    )
    sustained = document["protocol"]["duration_s"]
    yield _figure(
        "Sustained load over time" if sustained else "Over the time of the measurement",
        plots.over_time(results) + "".join(plots.sensors(document["evidence"]["groups"])),
        "Medians of predict in windows of equal length, rows taking turns throughout."
        + ("" if sustained else " For sustained load: --duration 10m."),
    )


def _span(values: set[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _figure(title: str, drawing: str, caption: str) -> str:
    return tag("figure", tag("h2", title) + drawing + tag("figcaption", escaped(caption)))


def _facts(title: str, facts: Any) -> str:
    items = "".join(
        tag("dt", escaped(str(name))) + tag("dd", escaped(str(value))) for name, value in facts
    )
    return tag("section", tag("h2", title) + tag("dl", items), class_="facts")


def _machine(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    where = document["environment"]
    yield "processor", f"{where['cpu']}, {where['cpus']} usable"
    yield "features", " ".join(where["cpu_features"] or ()) or "not told"
    for name, value in report.conditions(document).items():
        yield name, value or "not told"
    yield "Python", f"{where['python']}, numpy {where['numpy']}"
    for name, version in where["runtimes"].items():
        yield name, version or "?"


def _models(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for row in document["results"]:
        yield row["label"], f"{row['size_bytes']:,} bytes, SHA-256 {row['sha256']}"
