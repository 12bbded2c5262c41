"""Figures of a report in; SVG text out. The page's style sheet sets colours and fonts."""

from __future__ import annotations

from collections.abc import Sequence

from ..benchmark import svg
from ..benchmark.svg import Scale
from ..evaluation.calibration import Bin
from .layer import Layer, Times

# Units of the drawings: their width, and the left and right end of the plotting area.
WIDTH = 480
_LEFT, _RIGHT = 56, 458
# A bin of fewer images says little: its bar is pale.
FEW = 10


def curves(history: Sequence[dict[str, float]], metric: str, *, unit: str, factor: float) -> str:
    """Return the lines of a metric by epoch: training and validation.

    Args:
        history: the metrics of each epoch.
        metric: "loss" or "accuracy".
        unit: the title of the vertical axis.
        factor: the drawn value is the metric times this.
    """
    lines = []
    for prefix in ("", "val_"):
        name = prefix + metric
        epochs = ((number, row[name]) for number, row in enumerate(history, 1) if name in row)
        lines.append([(number, factor * value) for number, value in epochs])
    values = [value for line in lines for _, value in line] or [0.0, 1.0]
    x = Scale(1 if len(history) > 1 else 0, max(2, len(history)), _LEFT, _RIGHT)
    y = svg.axis(values, 250, 34, margin=0.05)
    parts = [
        svg.x_axis(x, top=34, bottom=256, unit="epoch", whole=True),
        svg.y_axis(y, left=_LEFT, right=_RIGHT, unit=unit),
    ]
    for index, line in enumerate(lines):
        points = [(x(number), y(value)) for number, value in line]
        parts.append(svg.path(points, class_=f"series c{index}") if len(points) > 1 else "")
        parts += [
            svg.titled(
                f"epoch {number}: {value:.4g}",
                svg.tag("circle", cx=at[0], cy=at[1], r=3.0 if len(points) < 40 else 1.6),
                class_=f"dot c{index}",
            )
            for at, (number, value) in zip(points, line, strict=True)
        ]
    parts += _legend(("training", "validation"))
    return svg.drawing(parts, width=WIDTH, height=302, name=f"{metric} by epoch")


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for index, name in enumerate(names):
        x = _RIGHT - 190 + 100 * index
        parts.append(svg.line((x, 15), (x + 16, 15), class_=f"series c{index}"))
        parts.append(svg.text(x + 21, 19, name, class_="tick"))
    return parts


def reliability(bins: Sequence[Bin]) -> str:
    """Return the reliability diagram: the accuracy of each bin against its confidence."""
    x, y = Scale(0, 1, _LEFT, _RIGHT), Scale(0, 1, 300, 34)
    parts = [
        svg.x_axis(x, top=34, bottom=300, unit="confidence"),
        svg.y_axis(y, left=_LEFT, right=_RIGHT, unit="accuracy"),
    ]
    for one in bins:
        if not one.images:
            continue
        left, right, top = x(one.low) + 1, x(one.high) - 1, y(one.accuracy)
        bar = svg.tag("rect", x=left, y=top, width=right - left, height=300 - top, class_="bar")
        dot = svg.tag("circle", cx=x(one.confidence), cy=top, r=4.0, class_="mean")
        title = (
            f"confidence {one.low:.2f} to {one.high:.2f}: {one.images:,} images, mean "
            f"{one.confidence:.3f}, accuracy {one.accuracy:.3f}"
        )
        parts.append(svg.titled(title, bar + dot, class_="c0 few" if one.images < FEW else "c0"))
    parts.append(svg.line((x(0), y(0)), (x(1), y(1)), class_="ideal"))
    return svg.drawing(parts, width=WIDTH, height=346, name="Reliability diagram")


def layer_times(layers: Sequence[Layer], times: Times) -> str:
    """Return a bar for each layer: its time."""
    band, top = 40, 6
    bottom = top + band * len(layers)
    scale = Scale(0, max(*times.layers_us, 1e-3) * 1.02, 12, WIDTH - 12)
    parts = [svg.x_axis(scale, top=top, bottom=bottom, unit="µs")]
    for number, (layer, time_us) in enumerate(zip(layers, times.layers_us, strict=True)):
        base = top + band * (number + 1)
        parts.append(svg.text(12, base - 20, f"{number + 1}  {layer.name}", class_="label"))
        value = f"{time_us:.2f} µs"
        parts.append(svg.text(WIDTH - 12, base - 20, value, anchor="end", class_="value"))
        width = scale(time_us) - 12
        parts.append(svg.tag("rect", x=12, y=base - 14, width=width, height=10, class_="invoke"))
    return svg.drawing(parts, width=WIDTH, height=bottom + 46, name="Time by layer")
