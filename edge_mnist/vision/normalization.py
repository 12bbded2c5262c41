"""Scale the foreground of a digit to a (28, 28) uint8 image as MNIST holds it.

MNIST's digits were scaled into a 20×20 box with anti-aliasing and placed in 28×28 by their
centre of mass, white on black (LeCun et al., http://yann.lecun.com/exdb/mnist/). Their strokes
are about a seventh of their height wide. Thinner or thicker strokes are brought nearer to that,
as models were trained on such strokes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .arrays import Floats, Grey, Ints
from .foreground import FOREGROUND_LEVEL, bounding_box, dilate, erode

# Pixels: sides of an MNIST image and of the box that its digit fills.
MNIST_SIDE = 28
_BOX_SIDE = 20
# Pixels: stroke width is measured and changed at this size, where MNIST's pixels are 5 wide.
_WORKING_SIDE = 5 * _BOX_SIDE
# MNIST pixels: stroke widths of its training images, 10th to 90th percentile.
_MIN_STROKE, _MAX_STROKE = 2.0, 3.2


def normalize(foreground: Floats) -> Grey:
    """Return a digit's foreground (h, w) in [0, 1], cut out closely, as an MNIST image."""
    pixels = (foreground * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    working = normalize_stroke_width(_resize(pixels, _WORKING_SIDE), _WORKING_SIDE)
    left, top, right, bottom = bounding_box(working, FOREGROUND_LEVEL * 255)
    return _place_by_centre_of_mass(_resize(working[top:bottom, left:right], _BOX_SIDE))


def fill_boxes(foregrounds: Floats, boxes: Ints) -> Grey:
    """Return many digits whose strokes have MNIST's width as MNIST images, (n, 28, 28).

    The images are those of `normalize` but for rounding, and take a twentieth of the time.

    Args:
        foregrounds: (n, h, w) in [0, 1].
        boxes: (n, 4): left, top, right, bottom of the digit; nothing lies outside.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    sizes = np.maximum(np.rint(sides * (_BOX_SIDE / sides.max(axis=1, keepdims=True))), 1)
    masses = np.maximum(foregrounds.sum(axis=(1, 2)), 1e-6)
    filters = []
    for axis, length in ((0, foregrounds.shape[2]), (1, foregrounds.shape[1])):
        places = np.arange(length, dtype=np.float32)
        scale = sizes[:, axis] / sides[:, axis]
        profile = foregrounds.sum(axis=1 + axis)
        centre = ((profile @ places) / masses - boxes[:, axis] + 0.5) * scale - 0.5
        # MNIST's centres of mass lie at pixel 14, counted from 0.
        offsets = np.clip(np.rint(MNIST_SIDE / 2 - centre), 0, MNIST_SIDE - sizes[:, axis])
        # A triangle as wide as two pixels of the result, or of the source if those are larger.
        targets = np.arange(MNIST_SIDE) - offsets[:, np.newaxis] + 0.5
        sources = (places + 0.5 - boxes[:, axis, np.newaxis]) * scale[:, np.newaxis]
        distance = np.abs(targets[:, :, np.newaxis] - sources[:, np.newaxis])
        weights = np.maximum(1 - distance / np.maximum(scale, 1)[:, np.newaxis, np.newaxis], 0)
        weights[(targets < 0) | (targets > sizes[:, axis, np.newaxis])] = 0
        inside = (sources >= 0) & (sources <= sizes[:, axis, np.newaxis])
        weights *= inside[:, np.newaxis]
        weights /= np.maximum(weights.sum(axis=2, keepdims=True), 1e-6)
        filters.append(weights.astype(np.float32))
    across, down = filters
    images = down @ foregrounds.astype(np.float32) @ across.transpose(0, 2, 1)
    pixels: Grey = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return pixels


def stroke_width(foreground: Floats) -> float:
    """Return the mean width of strokes in pixels: 2 × area / length of the outline."""
    height, width = foreground.shape
    padded = np.zeros((height + 2, width + 2), np.float32)
    padded[1:-1, 1:-1] = foreground
    y, x = padded[1:, :-1] - padded[:-1, :-1], padded[:-1, 1:] - padded[:-1, :-1]
    # The outline's length is the sum of the gradient's magnitude (co-area formula).
    outline = float(np.sqrt(x * x + y * y).sum())
    return 2 * float(foreground.sum()) / max(outline, 1e-6)


def normalize_stroke_width(pixels: Grey, side: int) -> Grey:
    """Dilate or erode until the strokes of a digit of `side` pixels are as wide as MNIST's.

    The result has a margin, the same on all sides, unless nothing was to be changed.
    """
    width = stroke_width(pixels.astype(np.float32))
    target = min(max(width * _BOX_SIDE / side, _MIN_STROKE), _MAX_STROKE) / _BOX_SIDE
    # The digit grows with its strokes: (width + 2 radius) / (side + 2 radius) = target.
    radius = round((target * side - width) / (2 * (1 - target)))
    if radius == 0:
        return pixels
    pixels = np.pad(pixels, max(radius, 0) + 1)
    # A cross and a square in turn approximate a disc by an octagon.
    for number in range(abs(radius)):
        if number % 2:
            pixels = dilate(pixels, 3) if radius > 0 else erode(pixels, 3)
        else:
            pixels = _extreme_of_cross(pixels, least=radius < 0)
    return pixels


def _extreme_of_cross(pixels: Grey, *, least: bool) -> Grey:
    """Dilate, or erode, by one pixel to the four sides."""
    extreme = np.minimum if least else np.maximum
    out = pixels.copy()
    for part, neighbours in (
        (out[1:], pixels[:-1]),
        (out[:-1], pixels[1:]),
        (out[:, 1:], pixels[:, :-1]),
        (out[:, :-1], pixels[:, 1:]),
    ):
        extreme(part, neighbours, out=part)
    return out


def _resize(pixels: Grey, side: int) -> Grey:
    """Scale so that the longer side has `side` pixels."""
    height, width = pixels.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def _place_by_centre_of_mass(pixels: Grey) -> Grey:
    """Return (28, 28) with the centre of mass of (h, w), at most 20×20, in its middle."""
    canvas = np.zeros((MNIST_SIDE, MNIST_SIDE), np.uint8)
    height, width = pixels.shape
    masses = pixels.sum(axis=1, dtype=np.intp), pixels.sum(axis=0, dtype=np.intp)
    # MNIST's centres of mass lie at pixel 14, counted from 0.
    top, left = (
        min(max(round(MNIST_SIDE / 2 - mass @ np.arange(len(mass)) / max(mass.sum(), 1)), 0), most)
        for mass, most in zip(masses, (MNIST_SIDE - height, MNIST_SIDE - width), strict=True)
    )
    canvas[top : top + height, left : left + width] = pixels
    return canvas
