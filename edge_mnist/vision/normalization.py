"""A digit's ink -> (28, 28) uint8 as MNIST holds it.

MNIST's digits were scaled into a 20×20 box with anti-aliasing and placed in 28×28 by their
centre of mass, white ink on black (LeCun et al., http://yann.lecun.com/exdb/mnist/). They were
written with a pen whose line is a seventh of their height; a hairline or a marker is brought
nearer to that, so that the model sees strokes it knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .foreground import dilate, erode, extent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .foreground import Floats, Grey

SIZE = 28
BOX = 20
# The pen is measured and changed on the digit in this size: 5 pixels for one of MNIST's.
_DRAWN = 5 * BOX
# Widths of MNIST's strokes, in its pixels: the middle four fifths of its training images.
THIN, THICK = 2.0, 3.2


def render(ink: Floats) -> NDArray[np.uint8]:
    """Return ink (h, w) in [0, 1], cut out closely, as an MNIST image: white on black."""
    return _centre(_fit(_with_usual_pen(_fit(ink, _DRAWN)), BOX))


def stroke_width(ink: Floats) -> float:
    """Return the mean width of strokes, in pixels: twice the area over the outline's length."""
    padded = np.pad(ink, 1)
    y, x = np.diff(padded, axis=0)[:, :-1], np.diff(padded, axis=1)[:-1]
    # The sum of the gradient's length is the outline's (the co-area formula).
    return 2 * float(ink.sum()) / max(float(np.hypot(x, y).sum()), 1e-6)


def _with_usual_pen(ink: Floats) -> Floats:
    """Return ink with strokes within MNIST's widths, on a canvas that it still fills."""
    width, side = stroke_width(ink), max(ink.shape)
    usual = min(max(width * BOX / side, THIN), THICK) / BOX
    # The digit grows with its strokes: (width + 2 r) / (side + 2 r) = usual.
    radius = round((usual * side - width) / (2 * (1 - usual)))
    if radius == 0:
        return ink
    pixels = np.pad(np.rint(ink * 255).astype(np.uint8), max(radius, 0) + 1)
    for number in range(abs(radius)):
        pixels = _step(pixels, thicker=radius > 0, square=number % 2 == 1)
    return _crop(pixels.astype(np.float32) / np.float32(255))


def _step(pixels: Grey, *, thicker: bool, square: bool) -> Grey:
    """One pixel thicker or thinner: a cross and a square in turn make an octagon."""
    extreme = dilate if thicker else erode
    if square:
        return extreme(pixels, 3)
    choose = np.maximum if thicker else np.minimum
    out = pixels.copy()
    out[1:], out[:-1] = choose(out[1:], pixels[:-1]), choose(out[:-1], pixels[1:])
    out[:, 1:] = choose(out[:, 1:], pixels[:, :-1])
    out[:, :-1] = choose(out[:, :-1], pixels[:, 1:])
    return out


def _crop(ink: Floats) -> Floats:
    left, top, right, bottom = extent(ink)
    return ink[top:bottom, left:right]


def _fit(ink: Floats, side: int) -> Floats:
    """Scale so that the longer side is `side` pixels."""
    height, width = ink.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR))


def _centre(ink: Floats) -> NDArray[np.uint8]:
    """Place (h, w) ink, h and w at most 20, with its centre of mass in the middle of 28×28."""
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    mass = max(float(ink.sum()), 1e-6)
    offsets = []  # Pixel 14, counted from 0, is where the centres of mass of MNIST lie.
    for axis, length in enumerate(ink.shape):
        centre = float(ink.sum(axis=1 - axis) @ np.arange(length)) / mass
        offsets.append(int(np.clip(round(SIZE / 2 - centre), 0, SIZE - length)))
    top, left = offsets
    height, width = ink.shape
    canvas[top : top + height, left : left + width] = np.rint(ink * 255).astype(np.uint8)
    return canvas
