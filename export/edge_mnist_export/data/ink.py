"""Real handwriting at any size: MNIST's images and handwriting fonts in, masks of strokes out.

A mask is (h, w) in [0, 1], 1 where the pen wrote, cut out closely. MNIST's digits are 20 pixels
tall, so they are enlarged: their outline is kept, or their centre line is written with another pen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from . import page_rendering as render
from .page_rendering import Floats, Rng

# Debian's packages of handwriting fonts, and the folder of each one's files. A family is used for
# tuning or for the test. Fonts of hairlines, outlines or illegible digits are left out.
TUNING_FONTS = {
    "fonts-bwht": "bwht",
    "fonts-dkg-handwriting": "fifthhorseman",
    "fonts-humor-sans": "humor-sans",
    "fonts-klee": "klee",
}
TEST_FONTS = {
    "fonts-breip": "breip",
    "fonts-dancingscript": "dancingscript",
    "fonts-kaushanscript": "kaushanscript",
    "fonts-kiloji": "kiloji",
    "fonts-kristi": "kristi",
    "fonts-rufscript": "rufscript",
}
_FONTS = Path("/usr/share/fonts")

# Pixels a side of an enlarged MNIST image: its digit is about 100 tall.
_GRID = 140
# Standard deviation of the blur that smooths the pixels of an enlarged image, in its pixels.
_SMOOTHING = 1.4
# Pixels of the enlarged image over which the edge of a stroke rises from 0 to 1.
_EDGE = 9.0
# Share of the brightest pixel: darker pixels are background when a centre line is found.
_THIN = 0.6
# Distance of ink from the centre line, in stroke widths: more is a loop that is filled with ink.
# Its digit keeps its strokes, because another pen would leave the loop out.
_FILLED = 0.9
# Pixels: the size in which a glyph is drawn before it is transformed.
_GLYPH = 160


class Hand(NamedTuple):
    """Digits and fonts to write with; those of the test are other people's than for tuning.

    Attributes:
        images: MNIST images (n, 28, 28) uint8.
        labels: (n,), their digits.
        fonts: files of handwriting fonts; empty if none is installed.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.integer]
    fonts: tuple[Path, ...] = ()

    def pick(self, digit: int, rng: Rng) -> NDArray[np.uint8]:
        """Return a random image (28, 28) of a digit."""
        image: NDArray[np.uint8] = self.images[rng.choice(np.flatnonzero(self.labels == digit))]
        return image

    def write(self, digit: int, rng: Rng, *, height: float, width: float | None = None) -> Floats:
        """Write a digit `height` pixels tall, slanted and turned by some degrees.

        Args:
            digit: 0 to 9.
            rng: chooses the image.
            height: of the digit in pixels.
            width: of the pen, as a fraction of the height; None for the strokes of the image. A
                digit whose loop is filled with ink keeps its strokes.
        """
        return enlarge(self.pick(digit, rng), rng, height=height, width=width)

    def print(self, text: str, rng: Rng, *, height: float) -> Floats:
        """Write text in a random font, `height` pixels tall."""
        return glyph_mask(self.fonts[int(rng.integers(len(self.fonts)))], text, rng, height=height)


def find_fonts(packages: dict[str, str]) -> tuple[Path, ...]:
    """Return the installed font files of some packages, in a fixed order."""
    files = (path for folder in packages.values() for path in _FONTS.glob(f"*/{folder}/*"))
    return tuple(sorted(path for path in files if path.suffix in (".ttf", ".otf")))


def enlarge(
    image: NDArray[np.uint8], rng: Rng, *, height: float, width: float | None = None
) -> Floats:
    """Return an MNIST image (28, 28) as a mask, as `Hand.write` describes it."""
    size = (_GRID, _GRID)
    grey = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    grey = _transform(grey, rng).filter(ImageFilter.GaussianBlur(_SMOOTHING))
    ink = render.to_mask(grey)
    ink = ink / ink.max()
    outline = (ink - np.float32(rng.uniform(0.4, 0.6))) * np.float32(_EDGE)
    if width is None:
        return _resize(outline, height)
    mask = ink > _THIN
    line = thin(mask)
    distance = _distance(line)
    if distance[mask].max() > _FILLED * mask.sum() / line.sum():
        return _resize(outline, height)
    pressure = 1 + np.float32(0.1) * render.smooth_noise(distance.shape, rng, cells=5)
    radius = np.float32(max(width * _height(mask) / 2, 0.6))
    return _resize(radius * pressure - distance, height)


def glyph_mask(font: Path, text: str, rng: Rng, *, height: float) -> Floats:
    """Return text in a font as a mask, slanted and turned by some degrees."""
    drawn = ImageFont.truetype(str(font), _GLYPH)
    left, top, right, bottom = drawn.getbbox(text)
    canvas = Image.new("L", (int(right - left) + 80, int(bottom - top) + 80))
    bold = int(rng.integers(0, 4))
    ImageDraw.Draw(canvas).text(
        (40 - left, 40 - top), text, font=drawn, fill=255, stroke_width=bold
    )
    canvas = _transform(canvas, rng).filter(ImageFilter.GaussianBlur(1))
    return _resize((render.to_mask(canvas) - np.float32(0.5)) * 4, height)


def _transform(image: Image.Image, rng: Rng) -> Image.Image:
    """Slant, turn and stretch by a little about the middle."""
    turn, slant = np.deg2rad(rng.normal(0, 3)), float(rng.normal(0, 0.08))
    stretch = float(np.exp(rng.normal(0, 0.07)))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[stretch, slant], [0, 1]])
    middle = np.array(image.size) / 2
    shift = middle - matrix @ middle
    data = (*matrix[0], shift[0], *matrix[1], shift[1])
    return image.transform(
        image.size, Image.Transform.AFFINE, data, resample=Image.Resampling.BICUBIC
    )


def _height(mask: NDArray[np.bool_]) -> int:
    return int(np.ptp(np.flatnonzero(mask.any(axis=1)))) + 1


def _resize(inside: Floats, height: float) -> Floats:
    """Return the mask of a field that is positive inside the ink, cut out and `height` tall.

    Args:
        inside: (h, w), rising by about 1 a pixel across the edge of a stroke.
        height: of the mask in pixels, at least 4.
    """
    mask = inside > 0
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0] - 1, rows[-1] + 2, columns[0] - 1, columns[-1] + 2
    scale = height / (bottom - top - 2)
    padded = np.pad(inside, 2, mode="edge")[top + 2 : bottom + 2, left + 2 : right + 2]
    size = (max(3, round(padded.shape[1] * scale)), max(5, round(padded.shape[0] * scale)))
    field = Image.fromarray(padded if scale > 1 else np.clip(padded + np.float32(0.5), 0, 1))
    large = np.asarray(field.resize(size, Image.Resampling.BICUBIC), np.float32)
    return np.clip(large * np.float32(scale) + np.float32(0.5) if scale > 1 else large, 0, 1)


def _distance(points: NDArray[np.bool_]) -> Floats:
    """Return the distance of every pixel from the nearest point (h, w), slightly smoothed."""
    ys, xs = (axis.astype(np.float32) for axis in np.nonzero(points))
    # Every second pixel is enough: the lines between two pixels are smooth.
    y, x = np.mgrid[0.5 : points.shape[0] : 2, 0.5 : points.shape[1] : 2].astype(np.float32)
    nearest = np.full(y.shape, np.inf, np.float32)
    for row, column in zip(ys, xs, strict=True):
        np.minimum(nearest, (y - row) ** 2 + (x - column) ** 2, out=nearest)
    coarse = Image.fromarray(np.sqrt(nearest)).reduce(2)
    return np.asarray(coarse.resize(points.shape[::-1], Image.Resampling.BICUBIC))


def thin(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the centre lines of a mask (h, w), by the algorithm of Zhang and Suen, 1984."""
    mask = np.pad(mask, 1)
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            remove = _removable(mask, first=first)
            changed = changed or bool(remove.any())
            mask[1:-1, 1:-1] &= ~remove
    return mask[1:-1, 1:-1]


def _removable(mask: NDArray[np.bool_], *, first: bool) -> NDArray[np.bool_]:
    """Return the pixels of the border that one pass of the thinning removes."""
    height, width = mask.shape[0] - 2, mask.shape[1] - 2
    # Neighbours clockwise from the north.
    north, _, east, _, south, _, west, _ = ring = [
        mask[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in _RING
    ]
    count = sum(one.astype(np.int8) for one in ring)
    starts = sum(
        (~one & following).astype(np.int8)
        for one, following in zip(ring, [*ring[1:], north], strict=True)
    )
    if first:
        open_side = ~(north & east & south) & ~(east & south & west)
    else:
        open_side = ~(north & east & west) & ~(north & south & west)
    inner = mask[1:-1, 1:-1]
    result: NDArray[np.bool_] = inner & (count >= 2) & (count <= 6) & (starts == 1) & open_side
    return result


_RING: Sequence[tuple[int, int]] = (
    (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1),
)  # fmt: skip
