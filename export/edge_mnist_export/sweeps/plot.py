"""The rows of a sweep in; accuracy against size and against latency, as SVG, out."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from .results import Row

_BLUE, _GREY = "#2563eb", "#94a3b8"


def draw(rows: Sequence[Row], data: str) -> str:
    """Plot the trials that are done, and a line along each Pareto front.

    Args:
        rows: at least one of them of a trial that is done.
        data: the name of the data set.
    """
    # Unlike pyplot, this needs no display and leaves no global state.
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    by_size, by_latency = figure.subplots(1, 2, sharey=True)
    _panel(by_size, rows, "size", lambda row: (row.size_bytes or 0) / 1000)
    _panel(by_latency, rows, "latency", lambda row: row.latency_us or 0.0)
    by_size.set(xlabel="int8 TFLite, kB", ylabel=f"int8 accuracy on validation images of {data}, %")
    by_latency.set(xlabel="µs a run, LiteRT, one thread")
    content = io.StringIO()
    # A fixed salt: the same rows give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "edge-mnist"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in content.getvalue().splitlines()) + "\n"


def _panel(axes: Any, rows: Sequence[Row], cost: str, x: Callable[[Row], float]) -> None:
    """Draw the trials, and in blue with their names those on the front of one cost."""
    for row in rows:
        if row.artifact:
            best = cost in row.fronts
            fill = "none" if row.stopped else "full"
            axes.plot(
                *_place(row, x), "o", color=_BLUE if best else _GREY, fillstyle=fill, zorder=3
            )
    front = sorted((row for row in rows if cost in row.fronts), key=lambda row: _place(row, x))
    axes.step(*zip(*(_place(row, x) for row in front), strict=True), where="post", color=_BLUE)
    for row in front:
        axes.annotate(row.trial, _place(row, x), (7, -10), textcoords="offset points", fontsize=7)
    axes.grid(alpha=0.2)


def _place(row: Row, x: Callable[[Row], float]) -> tuple[float, float]:
    return x(row), 100 * (row.int8_validation_accuracy or 0.0)
