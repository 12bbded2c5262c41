"""Pens that write masks on pages, and empty pages: paper, boards, printed lines.

A mask is (h, w) in [0, 1], 1 where the pen wrote. A page is (h, w, 3) in [0, 255].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from . import page_rendering as render
from .drawn_photographs import Range
from .page_rendering import Floats, Rng, Shape

Colour: TypeAlias = tuple[float, float, float]
Paper: TypeAlias = Callable[[Shape, Rng], Floats]


class Pen(NamedTuple):
    """A pen.

    Attributes:
        colours: of its ink.
        width: of the stroke, as a fraction of the digit's height.
        density: of the ink, from 0 to 1.
        grain: the fraction of the ink that the grain of the paper keeps off, at most.
        gaps: the number of breaks of the line, at most.
    """

    colours: tuple[Colour, ...]
    width: Range = (0.05, 0.1)
    density: Range = (0.8, 1.0)
    grain: float = 0.1
    gaps: int = 0

    def write(self, page: Floats, mask: Floats, rng: Rng) -> Floats:
        """Write a mask (h, w) on a page (h, w, 3); darker pens dye the paper, chalk covers it."""
        colour = np.array(self.colours[int(rng.integers(len(self.colours)))], np.float32)
        density = np.float32(rng.uniform(*self.density))
        if not mask.any():
            return page
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        inked = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        mask = mask[inked]
        fine = rng.random(mask.shape, np.float32)
        coarse = np.clip(0.5 + 0.4 * render.smooth_noise(mask.shape, rng, cells=24), 0, 1)
        dye = mask * (1 - np.float32(self.grain) * (fine + coarse) / 2) * density
        written = page.copy()
        written[inked] += dye[..., np.newaxis] * (colour - page[inked])
        return written

    def breaks(self, mask: Floats, rng: Rng) -> Floats:
        """Return a mask whose line breaks in some places, as where a ballpoint fails."""
        if not self.gaps or not mask.any():
            return mask
        ys, xs = np.nonzero(mask > 0.5)
        canvas = Image.new("L", mask.shape[::-1])
        height = float(np.ptp(ys))
        for _ in range(int(rng.integers(self.gaps + 1))):
            at = int(rng.integers(len(ys)))
            radius = max(height * self.width[1] * float(rng.uniform(0.3, 0.7)), 0.8)
            angle = rng.uniform(0, np.pi)
            dx, dy = 2 * radius * np.cos(angle), 2 * radius * np.sin(angle)
            line = [(xs[at] - dx, ys[at] - dy), (xs[at] + dx, ys[at] + dy)]
            ImageDraw.Draw(canvas).line(line, fill=255, width=max(1, round(radius)))
        return mask * (1 - render.to_mask(canvas))


BLUE, BLACK, RED, GREEN = (35.0, 50, 130), (35.0, 35, 40), (175.0, 40, 45), (25.0, 105, 65)
BALLPOINT = Pen((BLUE, BLACK, BLUE), (0.035, 0.08), (0.65, 0.95), 0.35, 2)
FELT_PEN = Pen((BLACK, BLUE, RED, GREEN), (0.07, 0.13))
PENCIL = Pen(((85.0, 85, 88), (65.0, 65, 70)), (0.03, 0.08), (0.6, 0.95), 0.55)
MARKER = Pen((BLACK, BLUE, RED, GREEN), (0.12, 0.19), grain=0.05)
CHALK = Pen(((235.0, 235, 228), (235.0, 225, 150)), (0.06, 0.13), (0.8, 1), 0.7)


def _sheet(shape: Shape, rng: Rng, low: Colour, high: Colour) -> Floats:
    """Return an empty page (h, w, 3) of one colour between two, with grain and soft stains."""
    page = np.empty((*shape, 3), np.float32)
    bright, tint = rng.uniform(), rng.uniform(0, 1, 3)
    page[:] = np.array(low) + (0.8 * bright + 0.2 * tint) * (np.array(high) - low)
    texture = rng.uniform(1, 3) * rng.standard_normal(shape, np.float32)
    texture = texture + rng.uniform(0.5, 2.5) * render.smooth_noise(shape, rng, cells=9)
    return page + texture[..., np.newaxis].astype(np.float32)


def plain(shape: Shape, rng: Rng) -> Floats:
    """White or yellowish paper."""
    return _sheet(shape, rng, (200, 198, 185), (250, 249, 246))


def _print_lines(shape: Shape, rng: Rng, *, squared: bool) -> Floats:
    page = plain(shape, rng)
    inks: tuple[Colour, ...] = ((150, 175, 215), (170, 170, 175), (190, 160, 190), (140, 190, 200))
    colour = np.array(inks[int(rng.integers(len(inks)))], np.float32)
    mask = render.lines(shape, rng, squared=squared) * np.float32(rng.uniform(0.4, 1))
    return page + mask[..., np.newaxis] * (colour - page)


graph = partial(_print_lines, squared=True)
ruled = partial(_print_lines, squared=False)


def coloured(shape: Shape, rng: Rng) -> Floats:
    """Paper of a light colour, such as a sticky note, or brown wrapping paper."""
    colours = ((250, 235, 140), (175, 215, 245), (165, 215, 160), (250, 195, 205), (200, 165, 120))
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float32)
    return _sheet(shape, rng, tuple(colour - 12), tuple(np.minimum(colour + 12, 252)))


def board(shape: Shape, rng: Rng) -> Floats:
    """Black or green board with wiped chalk."""
    colour = np.array(((42, 46, 46), (38, 72, 58))[int(rng.integers(2))], np.float32)
    page = _sheet(shape, rng, tuple(colour - 10), tuple(colour + 12))
    wiped = np.clip(render.smooth_noise(shape, rng, cells=5), 0, 2)[..., np.newaxis]
    return page + np.float32(rng.uniform(4, 16)) * wiped


def whiteboard(shape: Shape, rng: Rng) -> Floats:
    """White board with the reflection of a lamp."""
    page = _sheet(shape, rng, (200, 205, 205), (230, 232, 235))
    return page + 0.6 * render.glare(shape, rng)[..., np.newaxis].astype(np.float32) * (255 - page)
