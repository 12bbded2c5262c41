"""Cells cut from scanned forms: a digit in, a picture of its cell out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from . import page_rendering as render
from .drawn_photographs import Picture, Range
from .ink import Hand
from .page_rendering import Floats, Rng, Shape
from .pens_and_papers import BLACK, Pen

# Borders are drawn at this many times the size and reduced, which smooths their edges.
_OVERSAMPLING = 4
_MM_PER_INCH = 25.4
_PEN = Pen((BLACK,), (0.05, 0.11), (0.9, 1.0), 0.15)


class _Margins(NamedTuple):
    """The distances of a cell from the edges of its picture, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


def as_grey_scan(page: Floats, rng: Rng) -> Picture:
    """Encode a scan as PNG or JPEG."""
    image = render.to_image(page)
    if rng.random() < 0.5:
        return render.encode(image, "PNG", compress_level=1)
    return render.encode(image, "JPEG", quality=int(rng.integers(40, 90)))


def as_bilevel(page: Floats, rng: Rng) -> Picture:
    """Reduce or enlarge a scan, and binarize it."""
    image = render.to_image(page)
    factor = float(rng.uniform(0.7, 1.4))
    size = max(16, round(image.width * factor)), max(16, round(image.height * factor))
    image = image.resize(size, Image.Resampling.BILINEAR)
    level = int(rng.integers(160, 205))
    return render.encode(image.point(lambda value: 255 * (value > level)).convert("1"), "PNG")


def as_fax(page: Floats, rng: Rng) -> Picture:
    """Send a scan by fax: two thirds of the lines, one bit, specks, a line lost or repeated."""
    image = render.to_image(page)
    sent = image.resize((image.width, max(12, image.height * 2 // 3)), Image.Resampling.BILINEAR)
    bits = np.asarray(sent) > rng.uniform(150, 200)
    hit = rng.random(bits.shape)
    bits = (bits & (hit > 0.008)) | (hit > 0.992)
    if rng.random() < 0.5:
        row = int(rng.integers(1, len(bits)))
        bits[row] = bits[row - 1] if rng.random() < 0.5 else True
    received = Image.fromarray(bits.astype(np.uint8) * 255).resize(image.size)
    return render.encode(received.point(lambda value: 255 * (value > 127)).convert("1"), "PNG")


@dataclass(frozen=True)
class Cell:
    """The making of a cell cut from a scanned form.

    Attributes:
        dpi: of the scan, in pixels an inch. The cell is 6 to 9 mm tall.
        borders: the number of sides at which the printed border is left over.
        clip: the fraction of the digit beyond the edge of the cell, at most.
        touch: whether the digit may touch the border.
        neighbour: whether the edge of another digit reaches into the picture.
        brightness: of the border, in [0, 255]; a drop-out colour leaves nearly white.
        pen: the pen.
        finish: turns the scan (h, w) in [0, 255] into the picture.
    """

    dpi: tuple[int, int] = (100, 300)
    borders: tuple[int, int] = (1, 4)
    clip: float = 0.0
    touch: bool = False
    neighbour: bool = False
    brightness: Range = (20, 130)
    pen: Pen = _PEN
    finish: Callable[[Floats, Rng], Picture] = as_grey_scan

    def __call__(self, hand: Hand, digit: int, rng: Rng) -> tuple[str, Picture]:
        """Compose a cell with a digit."""
        dots_per_mm = float(rng.uniform(*self.dpi)) / _MM_PER_INCH
        side = float(rng.uniform(6, 9)) * dots_per_mm
        height = side * float(rng.uniform(0.5, 0.78))
        width = max(float(rng.uniform(*self.pen.width)), 1.3 / height)
        pen_width = None if rng.random() < 0.4 else width
        mask = self.pen.breaks(hand.write(digit, rng, height=height, width=pen_width), rng)
        written, margins = self._arrange(mask, side, rng)
        if self.neighbour:
            other = hand.write(int(rng.integers(10)), rng, height=height, width=width)
            _intrude(written, other, rng)
        if self.clip:
            written = clip(written, self.clip, rng)
        border = self._border(written.shape, margins, dots_per_mm, rng)
        paper = np.full(written.shape, rng.uniform(225, 254), np.float32)
        paper = paper + float(rng.uniform(0.5, 3)) * rng.standard_normal(paper.shape, np.float32)
        page = paper + border * (float(rng.uniform(*self.brightness)) - paper)
        page = self.pen.write(np.repeat(page[..., np.newaxis], 3, axis=2), written, rng)
        blur, noise = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0, 4))
        return str(digit), self.finish(
            render.camera(page.mean(axis=2), rng, blur=blur, noise=noise), rng
        )

    def _arrange(self, mask: Floats, side: float, rng: Rng) -> tuple[Floats, _Margins]:
        """Return the mask somewhere in its cell, and where the cell is in the picture."""
        margins = _Margins(*np.round(rng.uniform(0.02, 0.14, 4) * side).tolist())
        room = 0.0 if self.touch else float(rng.uniform(0, 0.06)) * side + 2
        width = max(side * float(rng.uniform(0.7, 1)), mask.shape[1] + 2 * room)
        height = max(side, mask.shape[0] + 2 * room)
        x = round(margins.left + room + rng.random() * (width - mask.shape[1] - 2 * room))
        y = round(margins.top + room + rng.random() * (height - mask.shape[0] - 2 * room))
        placed = np.zeros(
            (
                round(height + margins.top + margins.bottom) + 1,
                round(width + margins.left + margins.right) + 1,
            ),
            np.float32,
        )
        placed[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        return placed, margins

    def _border(self, shape: Shape, margins: _Margins, dots_per_mm: float, rng: Rng) -> Floats:
        """Return a mask (h, w) of the printed lines on some sides, askew by a degree or two."""
        height, width = shape
        scale = _OVERSAMPLING
        canvas = Image.new("L", (width * scale, height * scale))
        skew = float(np.tan(np.deg2rad(rng.uniform(-2.5, 2.5))))
        dx, dy = skew * height / 2, skew * width / 2
        left, right = margins.left / 2, width - margins.right / 2
        top, bottom = margins.top / 2, height - margins.bottom / 2
        lines = (
            ((left - dx, 0), (left + dx, height)),
            ((0, top + dy), (width, top - dy)),
            ((right - dx, 0), (right + dx, height)),
            ((0, bottom + dy), (width, bottom - dy)),
        )
        thickness = max(1.0, float(rng.uniform(0.15, 0.45)) * dots_per_mm)
        count = int(rng.integers(self.borders[0], self.borders[1] + 1))
        for side in rng.permutation(4)[:count]:
            points = [(x * scale, y * scale) for x, y in lines[side]]
            ImageDraw.Draw(canvas).line(points, fill=255, width=round(thickness * scale))
        return render.to_mask(canvas.reduce(scale))


def _intrude(placed: Floats, other: Floats, rng: Rng) -> None:
    """Draw the edge of another digit at the left or the right, where there is space for it."""
    columns = np.flatnonzero(placed.any(axis=0))
    at_left = rng.random() < 0.5
    space = columns[0] if at_left else placed.shape[1] - 1 - columns[-1]
    width = min(int(rng.uniform(0.1, 0.3) * other.shape[1]), space - 2)
    height = min(len(other), len(placed))
    if width < 1:
        return
    y = int(rng.integers(0, len(placed) - height + 1))
    if at_left:
        placed[y : y + height, :width] = other[:height, -width:]
    else:
        placed[y : y + height, -width:] = other[:height, :width]


def clip(placed: Floats, share: float, rng: Rng) -> Floats:
    """Cut up to `share` of a digit's height or width off, at up to two sides."""
    rows, columns = (np.flatnonzero(placed.max(axis=axis) > 0.5) for axis in (1, 0))
    cut_rows = int(rng.uniform(0, share) * np.ptp(rows))
    cut_columns = int(rng.uniform(0, share) * np.ptp(columns))
    vertical = (
        slice(rows[0] + cut_rows, None),
        slice(None, rows[-1] + 1 - cut_rows),
        slice(None),
    )[int(rng.integers(3))]
    horizontal = (
        slice(columns[0] + cut_columns, None),
        slice(None, columns[-1] + 1 - cut_columns),
        slice(None),
    )[int(rng.integers(3))]
    return placed[vertical, horizontal]
