"""Results of run.py in; a Markdown table and an SVG plot out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from edge_mnist.benchmark.statistics import format_rounded
from edge_mnist.errors import EdgeMnistError
from edge_mnist.system.files import write_atomically

Document = dict[str, Any]
_HEAD = (
    ("", "model, precision", "right of 500 (%)", "µs an image", "ratio", "µs, all threads"),
    ("images/s, batches", "from cold (ms)", "peak (MB)", "installed (MB)"),
)


def table(document: Document) -> str:
    """Return Markdown with a line per contender, in its fastest precision.

    The ratio is to the fastest `Classifier` row of the seed CNN.
    """
    rows = fastest(document, threads=1)
    base = next(
        (row for row in rows if row["arch"] == "seed" and _ours(row)),
        rows[0],
    )
    every = {r["contender"]: r for r in fastest(document, threads=None)}
    lines = [[*_HEAD[0], *_HEAD[1]], ["---"] * 10]
    lines += [_cells(row, base, every.get(row["contender"])) for row in rows]
    place = document["environment"]
    count = len(rows)
    return "\n".join(
        [
            f"{place['cpu']}, {place['cpus']} processors, Python {place['python']}, "
            f"{document['date'][:10]}; {count} contenders, one run, in turn:",
            "",
            *("| " + " | ".join(line) + " |" for line in lines),
        ]
    )


def fastest(document: Document, *, threads: int | None) -> list[dict[str, Any]]:
    """Return each contender's row with the lowest median, at one thread or at all (None)."""
    wanted = [
        row
        for row in document["rows"]
        if row["predict_us"] and not row["error"] and (row["threads"] == 1) == (threads == 1)
    ]
    chosen: dict[str, dict[str, Any]] = {}
    for row in wanted:
        other = chosen.get(row["contender"])
        if other is None or _p50(row) < _p50(other):
            chosen[row["contender"]] = row
    return sorted(chosen.values(), key=_p50)


def _ours(row: dict[str, Any]) -> bool:
    return bool(row["contender"].startswith("edge-mnist"))


def _p50(row: dict[str, Any]) -> float:
    return float(row["predict_us"]["p50"])


def _cells(row: dict[str, Any], base: dict[str, Any], every: dict[str, Any] | None) -> list[str]:
    low, high = row["predict_us"]["ci95"]["p50"]
    batches = row["images_per_second"]
    most = max(batches, key=batches.get) if batches else None
    return [
        f"**{row['contender']}**" if _ours(row) else row["contender"],
        f"{row['arch']}, {row['precision']}",
        f"{100 * row['accuracy']:.1f}",
        format_rounded(_p50(row), (high - low) / 2),
        f"{_p50(row) / _p50(base):.2f}",
        format_rounded(_p50(every), None) if every else "–",
        f"{batches[most]:,} ({most})" if most else "–",
        f"{row['cold_ms']:.0f}" if row["cold_ms"] else "–",
        f"{row['peak_rss_mb']:.0f}",
        f"{row['installed_mb']:,.0f}",
    ]


def write_between(path: Path, name: str, text: str) -> None:
    """Replace the text between `<!-- name -->` and `<!-- /name -->` in a file."""
    before, opening, rest = path.read_text(encoding="utf-8").partition(f"<!-- {name} -->")
    _, closing, after = rest.partition(f"<!-- /{name} -->")
    if not opening or not closing:
        raise EdgeMnistError(f"Expected <!-- {name} --> … <!-- /{name} --> in {path}, got none.")
    write_atomically(path, f"{before}{opening}\n{text}\n{closing}{after}")


def draw(document: Document, path: Path) -> None:
    """Draw latency, process time and installed size as bars on logarithmic scales, as SVG."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    rows = fastest(document, threads=1)[::-1]
    names = [f"{row['contender']} ({row['precision']})" for row in rows]
    colours = ["#2a6f97" if _ours(row) else "#b8b8b8" for row in rows]
    columns = (
        ("one image, one thread (µs, log)", [_p50(row) for row in rows]),
        ("process with one image (ms, log)", [row["cold_ms"] or 0 for row in rows]),
        ("installed (MB, log)", [row["installed_mb"] for row in rows]),
    )
    figure = Figure(figsize=(11, 0.36 * len(rows) + 1.2), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, 3, sharey=True), columns, strict=True):
        bars = axes.barh(names, values, color=colours, height=0.66)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2, max(values) * 4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    svg = io.BytesIO()
    # Text stays text, and the same figures give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "edge-mnist"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    write_atomically(path, svg.getvalue())
