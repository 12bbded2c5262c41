"""The rows of a sweep in; accuracy against size and against latency, as SVG, out."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from .results import Row

_BLUE, _GREY = "#2563eb", "#94a3b8"
_WIDE = 4  # ratio of the highest cost to the lowest from which its axis is logarithmic


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
    by_size.set(xlabel="int8 TFLite, kB", ylabel=f"int8 accuracy, validation images of {data}, %")
    by_latency.set(xlabel="µs a run, LiteRT, one thread")
    stopped = {"color": _GREY, "fillstyle": "none", "linestyle": ""}
    by_latency.plot([], [], "o-", color=_BLUE, label="Pareto front")
    if any(row.stopped for row in rows):
        by_latency.plot([], [], "o", **stopped, label="stopped early")
    by_latency.legend(loc="lower right", fontsize=8)
    content = io.StringIO()
    # A fixed salt: the same rows give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "edge-mnist"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in content.getvalue().splitlines()) + "\n"


def _panel(axes: Any, rows: Sequence[Row], cost: str, x: Callable[[Row], float]) -> None:
    """Draw the trials, and in blue, joined by a line, those on the front of one cost."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    for row in rows:
        if row.artifact:
            color, fill = _BLUE if cost in row.fronts else _GREY, "none" if row.stopped else "full"
            axes.plot(
                *_place(row, x), "o", color=color, fillstyle=fill, zorder=3 if color == _BLUE else 2
            )
    front = sorted((row for row in rows if cost in row.fronts), key=lambda row: _place(row, x))
    places = [_place(row, x) for row in front]
    axes.step(*zip(*places, strict=True), where="post", color=_BLUE, alpha=0.6)
    low, high = (bound(_place(row, x)[0] for row in rows if row.artifact) for bound in (min, max))
    if high > _WIDE * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.minorticks_off()
    for row, place in zip(front, places, strict=True):
        on_left = place[0] < (low * high) ** 0.5 or len(front) == 1
        axes.annotate(
            _label(row),
            place,
            (7, -6) if on_left else (-8, 3),
            textcoords="offset points",
            fontsize=7,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            horizontalalignment="left" if on_left else "right",
            verticalalignment="top" if on_left else "bottom",
        )
    axes.margins(x=0.08, y=0.12)
    axes.grid(alpha=0.2)


def _place(row: Row, x: Callable[[Row], float]) -> tuple[float, float]:
    return x(row), 100 * (row.int8_validation_accuracy or 0.0)


def _label(row: Row) -> str:
    """Return what varies, such as `nano, seed 0`."""
    values = [
        f"{name.replace('_', ' ')} {value}" if isinstance(value, int | float) else f"{value}"
        for name, value in row.options.items()
    ]
    return ", ".join(values)
