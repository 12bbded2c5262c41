"""SVG elements, scales and axes as text. The page's style sheet sets colours and fonts."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Maps a quantity in [low, high] to an axis in [start, end], in units of the drawing."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return a value's place on the axis, clipped to the axis."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values on the axis, about five of them if it is linear."""
        if self.log:
            return _log_ticks(self.low, self.high)
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(index * step, 10) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        values = [factor * 10.0**power for power in decades for factor in factors]
        ticks = [value for value in values if low <= value <= high]
        if len(ticks) > 3:
            break
    return ticks


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """Return an element; an attribute `class_` becomes class, `text_anchor` text-anchor.

    Attribute values are escaped. `content` is markup: pass other text through `escaped`.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(_short(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{shown}>{content}</{name}>" if content else f"<{name}{shown}/>"


def escaped(text: str) -> str:
    """Return text with HTML's special characters escaped, for elements and attributes."""
    return html.escape(text, quote=True)


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def text(x: float, y: float, content: str, *, anchor: str = "start", class_: str = "") -> str:
    """Return a text element; `content` is escaped, `anchor` is start, middle or end."""
    classes = {"class_": class_} if class_ else {}
    return tag("text", escaped(content), x=x, y=y, text_anchor=anchor, **classes)


def line(a: Point, b: Point, *, class_: str) -> str:
    """Return a straight line."""
    return tag("line", x1=a[0], y1=a[1], x2=b[0], y2=b[1], class_=class_)


def path(points: Iterable[Point], *, class_: str, closed: bool = False) -> str:
    """Return a line through points, or with `closed` the area that they enclose."""
    steps = " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_)


def titled(title: str, content: str, **attributes: object) -> str:
    """Return a group with `title` as its tooltip."""
    return tag("g", tag("title", escaped(title)) + content, **attributes)


def axis(
    values: Sequence[float], start: float, end: float, *, margin: float, least: float = 0.0
) -> Scale:
    """Return a scale around values; logarithmic if the highest is over 5 times the lowest."""
    low, high = min(values), max(values)
    if low > 0 and high > 5 * low:
        return Scale(low / 1.2, high * 1.2, start, end, log=True)
    middle, half = (low + high) / 2, max(high - low, least, 1e-3 * high, 1e-9) / 2
    half *= 1 + 2 * margin
    return Scale(middle - half, middle + half, start, end)


def x_axis(scale: Scale, *, top: float, bottom: float, unit: str, whole: bool = False) -> str:
    """Return vertical grid lines with their labels, and `unit` as the axis title.

    With `whole`, only whole numbers have one.
    """
    parts = []
    for value in scale.ticks():
        if whole and value != round(value):
            continue
        x = scale(value)
        parts.append(line((x, top), (x, bottom), class_="grid"))
        parts.append(text(x, bottom + 17, f"{value:.10g}", anchor="middle", class_="tick"))
    middle = (scale.start + scale.end) / 2
    return "".join(parts) + text(middle, bottom + 36, unit, anchor="middle", class_="axis")


def y_axis(scale: Scale, *, left: float, right: float, unit: str) -> str:
    """Return horizontal grid lines with their labels, and `unit` as the axis title."""
    parts = [text(left - 46, scale.end - 17, unit, class_="axis")]
    for value in scale.ticks():
        y = scale(value)
        parts.append(line((left, y), (right, y), class_="grid"))
        parts.append(text(left - 7, y + 4, f"{value:.10g}", anchor="end", class_="tick"))
    return "".join(parts)


def drawing(content: Sequence[str], *, width: int, height: float, name: str) -> str:
    """Return an `svg` element that fills its parent's width; `name` is for screen readers."""
    return tag(
        "svg",
        "".join(content),
        viewBox=f"0 0 {width} {height:g}",
        role="img",
        aria_label=name,
    )
