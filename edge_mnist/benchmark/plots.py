"""Rows of a benchmark document in; the HTML report's plots out, as SVG text.

A row has the same colour and number in every plot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import svg
from .report_content import row_name
from .statistics import p50_interval
from .svg import Point, Scale
from .worker import STAGES

Row = dict[str, Any]

# Units of the drawings: their width, and the left and right end of the plotting area.
WIDTH = 480
_LEFT, _RIGHT = 54, 462
# Classes c0 to c7 of html_report.css.
_COLOURS = 8
# Bins of a histogram, on a logarithmic axis.
_BINS = 90
# Height of a time series without row numbers, and of one with them.
_SMALL, _LARGE = 150, 320


def colour(index: int) -> str:
    """Return the CSS class that colours a row."""
    return f"c{index % _COLOURS}"


def distributions(results: Sequence[Row]) -> str:
    """Return a histogram per row (ridgeline plot) on a common logarithmic axis.

    Heights are square roots of counts, to make the tail visible.
    """
    samples = [np.concatenate(row["samples_ns"]["predict"]) / 1000 for row in results]
    low = min(float(part.min()) for part in samples) * 0.95
    high = max(float(np.percentile(part, 99.9)) for part in samples) * 1.15
    band, top = 62, 8
    bottom = top + band * len(results)
    scale = Scale(low, high, 12, WIDTH - 12, log=True)
    parts = [svg.x_axis(scale, top=top, bottom=bottom, unit="µs a prediction, logarithmic")]
    for index, (row, part) in enumerate(zip(results, samples, strict=True)):
        parts.append(_ridge(index, row, part, scale, top + band * (index + 1)))
    return svg.drawing(parts, width=WIDTH, height=bottom + 46, name="Latency distributions")


def _ridge(index: int, row: Row, samples: Any, scale: Scale, base: float) -> str:
    edges = np.geomspace(scale.low, scale.high, _BINS + 1)
    counts = np.sqrt(np.histogram(samples, edges)[0])
    tops = base - 34 * counts / max(1.0, float(counts.max()))
    x = [scale(float(edge)) for edge in edges for _ in range(2)]
    area = svg.path(
        zip(x, [base, *np.repeat(tops, 2), base], strict=True), class_="area", closed=True
    )
    percentiles = [row["predict_us"][name] for name in ("p50", "p90", "p99", "p999")]
    median, *ticks = (scale(value) for value in percentiles if value is not None)
    marks = [svg.line((median, base - 36), (median, base), class_="median")]
    marks += [svg.line((tick, base), (tick, base - 9), class_="mark") for tick in ticks]
    heading = _heading(index, row, row["predict_us"]["p50"], base - 44)
    return svg.titled(row_name(row), heading + area + "".join(marks), class_=colour(index))


def _heading(index: int, row: Row, value_us: float, y: float) -> str:
    """Return a row's number and name at the left, and a value at the right."""
    name = svg.text(12, y, f"{index + 1}  {row_name(row)}", class_=f"name {colour(index)}")
    value = svg.text(WIDTH - 12, y, f"{value_us:.4g} µs", anchor="end", class_="value")
    return name + value


def accuracy(results: Sequence[Row]) -> str | None:
    """Return accuracy against p50, Pareto-best rows filled; None where no accuracy is known."""
    known = [(index, row) for index, row in enumerate(results) if row["accuracy"] is not None]
    if not known:
        return None
    limits = [p50_interval(row) for _, row in known]
    x = svg.axis([v for pair in limits for v in pair], _LEFT + 6, _RIGHT - 10, margin=0.12)
    y = svg.axis([100 * row["accuracy"] for _, row in known], 250, 34, margin=0.35, least=0.04)
    parts = [
        svg.x_axis(x, top=34, bottom=256, unit="µs a prediction, median"),
        svg.y_axis(y, left=_LEFT, right=_RIGHT, unit="accuracy, %"),
    ]
    dots = [(x(row["predict_us"]["p50"]), y(100 * row["accuracy"])) for _, row in known]
    for (index, row), dot, interval in zip(known, dots, limits, strict=True):
        parts.append(_dot(index, row, dot, (x(interval[0]), x(interval[1]))))
    taken = list(dots)
    for (index, _), dot in zip(known, dots, strict=True):
        place = _free_place(dot, taken)
        taken.append(place)
        class_ = f"name {colour(index)}"
        number = svg.text(place[0], place[1] + 5, str(index + 1), anchor="middle", class_=class_)
        parts.append(number)
    return svg.drawing(parts, width=WIDTH, height=302, name="Accuracy against latency")


def _dot(index: int, row: Row, at: Point, limits: Sequence[float]) -> str:
    bar = svg.line((limits[0], at[1]), (limits[1], at[1]), class_="error")
    # The area grows with the file's size: radius 5 for 10 kB, 13 for 1 MB and more.
    radius = 4 + 9 * min(1.0, (row["size_bytes"] / 1e6) ** 0.5)
    dot = svg.tag(
        "circle", cx=at[0], cy=at[1], r=radius, class_="best" if row["pareto"] else "other"
    )
    title = (
        f"{row_name(row)}: {row['predict_us']['p50']:.4g} µs, {100 * row['accuracy']:.2f} %, "
        f"{row['size_bytes'] / 1000:.0f} kB"
    )
    return svg.titled(title, bar + dot, class_=colour(index))


def _free_place(at: Point, taken: Sequence[Point]) -> Point:
    """Return a place for a label near a point, away from the places already taken."""
    around = [
        (at[0] + dx * far, at[1] + dy * far)
        for far in (17, 27, 38)
        for dx, dy in ((0, -1), (0, 1), (1, 0), (-1, 0), (0.7, -0.7), (-0.7, 0.7))
    ]
    clear = (p for p in around if all(abs(p[0] - q[0]) + abs(p[1] - q[1]) > 15 for q in taken))
    return next(clear, around[0])


def stages(results: Sequence[Row]) -> str:
    """Return a stacked bar per row: the medians of preprocess, invoke and postprocess."""
    totals = [sum(row[f"{stage}_us"]["p50"] for stage in STAGES) for row in results]
    band, top = 46, 34
    bottom = top + band * len(results)
    scale = Scale(0, max(totals) * 1.02, 12, WIDTH - 12)
    parts = [*_legend(), svg.x_axis(scale, top=top, bottom=bottom, unit="µs, medians")]
    for index, (row, total) in enumerate(zip(results, totals, strict=True)):
        base = top + band * (index + 1)
        parts.append(_heading(index, row, total, base - 24))
        parts += _bar(row, scale, base - 18)
    return svg.drawing(parts, width=WIDTH, height=bottom + 46, name="Stages of a prediction")


def _bar(row: Row, scale: Scale, y: float) -> Iterator[str]:
    start = 0.0
    for stage in STAGES:
        p50 = row[f"{stage}_us"]["p50"]
        x, end = scale(start), scale(start + p50)
        part = svg.tag("rect", x=x, y=y, width=max(0.0, end - x), height=12, class_=stage)
        yield svg.titled(f"{stage}: {p50:.4g} µs", part)
        start += p50


def _legend() -> Iterator[str]:
    for stage, x in zip(STAGES, (12, 132, 220), strict=True):
        yield svg.tag("rect", x=x, y=7, width=12, height=12, class_=stage)
        yield svg.text(x + 18, 18, stage, class_="tick")


def over_time(results: Sequence[Row]) -> str:
    """Return the median of every window against time, with a line per row."""
    lines = [
        (index, [(w["start_s"], w["p50_us"]) for w in row["windows"]])
        for index, row in enumerate(results)
    ]
    return _time_series(
        lines, unit="µs, median of a window", name="Latency over time", height=_LARGE
    )


def sensors(groups: Sequence[dict[str, Any]]) -> list[str]:
    """Return temperature and frequency against time, where the system reports them."""
    drawings = []
    for field, unit in (("temperature_c", "°C, hottest zone"), ("frequency_mhz", "MHz, fastest")):
        lines = [
            (
                _COLOURS - 1,
                [(r["at_s"], r[field]) for r in group["readings"] if r[field] is not None],
            )
            for group in groups
        ]
        if any(len(points) > 1 for _, points in lines):
            drawings.append(_time_series(lines, unit=unit, name=unit, height=_SMALL))
    return drawings


def _time_series(
    lines: Sequence[tuple[int, list[Point]]], *, unit: str, name: str, height: int
) -> str:
    times_s, values = zip(*(point for _, points in lines for point in points), strict=True)
    bottom = height - 46
    x = Scale(0, max(times_s) or 1, _LEFT, _RIGHT - 22)
    # The axis spans at least 10 % of the values, so that the noise of a steady row looks small.
    y = svg.axis(values, bottom, 34, margin=0.1, least=0.1 * max(values))
    parts = [
        svg.x_axis(x, top=34, bottom=bottom, unit="seconds"),
        svg.y_axis(y, left=_LEFT, right=_RIGHT - 22, unit=unit),
    ]
    drawn = {index: [(x(a), y(b)) for a, b in points] for index, points in lines if points}
    for index, points in drawn.items():
        parts.append(svg.path(points, class_=f"series {colour(index)}"))
    if height == _LARGE:
        parts += _numbers({index: points[-1] for index, points in drawn.items()}, bottom)
    return svg.drawing(parts, width=WIDTH, height=height, name=name)


def _numbers(ends: dict[int, Point], bottom: float) -> Iterator[str]:
    """Yield the numbers of rows beside the ends of their lines, without overlap."""
    descending = sorted(ends.items(), key=lambda item: item[1][1])
    places = _spread([y for _, (_, y) in descending], bottom)
    for (index, (x, y)), place in zip(descending, places, strict=True):
        leader = svg.line((x + 1, y), (x + 10, place), class_="leader")
        number = svg.text(x + 12, place + 5, str(index + 1), class_="name")
        yield svg.tag("g", leader + number, class_=colour(index))


def _spread(places: Sequence[float], bottom: float) -> list[float]:
    """Return ascending places at least 14 units apart, a line of text, and none below `bottom`."""
    steps = 14.0 * np.arange(len(places))
    pushed_down = np.maximum.accumulate(np.asarray(places) - steps)
    moved: list[float] = (np.minimum(pushed_down, bottom - steps[-1]) + steps).tolist()
    return moved
