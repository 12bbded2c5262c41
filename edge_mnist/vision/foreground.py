"""Ink from paper: how much darker, or lighter, a pixel is than the ground around it.

The ground is a morphological closing (for dark ink; an opening for light ink): the picture
without anything narrower than a window. Broad things stay in the ground, a shadow's edge and
all, so that uneven light takes no part (the top-hat transform: Serra 1982, Image Analysis and
Mathematical Morphology).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

# A colour channel is taken instead of the luminance only where it shows clearly more.
_CLEARLY_MORE = 1.25
# What the ink stands out by is told from this share of the pixels, and so many at least.
_STRONGEST, _LEAST_STRONG = 0.002, 40
# From here on a pixel of soft ink in [0, 1] counts as ink.
INKED = 0.3
# A pixel that differs so much from all eight neighbours is a fault, not a stroke.
_IMPULSE = 40


class Relief(NamedTuple):
    """What stands out of the ground: `height` (h, w) in [0, 1], its `noise` level on paper."""

    height: Floats
    noise: float


def grey(image: Image.Image, *, blur: float) -> Grey:
    """Return the shade (h, w) of an L or RGB image in which ink stands out most."""
    luminance = _clean(np.asarray(image.convert("L")), blur)
    if image.mode != "RGB":
        return luminance
    channels = [np.asarray(channel) for channel in image.split()]
    if max(int(np.ptp(c[::4, ::4].astype(int) - channels[0][::4, ::4])) for c in channels) < 30:
        return luminance
    shades = [luminance, *(_clean(channel, blur) for channel in channels)]
    contrasts = [_contrast(shade) for shade in shades]
    best = int(np.argmax(contrasts))
    return shades[best] if contrasts[best] > _CLEARLY_MORE * contrasts[0] else luminance


def relief(shade: Grey, window: int, *, dark: bool) -> Relief:
    """Return what is narrower than `window` pixels and darker, or lighter, than its ground.

    Dark ink is measured in shares of the paper's brightness, as it reflects a share of the light.
    """
    if dark:
        ground = erode(dilate(shade, window), window)
        room = np.maximum(ground, 40)
        deep = ground - shade
    else:
        ground = dilate(erode(shade, window), window)
        room = np.maximum(255 - ground, 64)
        deep = shade - ground
    height: Floats = deep.astype(np.float32)
    height /= room
    # Most pixels are paper: their middle and spread are the noise's.
    sample = height[::4, ::4]
    middle, most = (float(value) for value in np.quantile(sample, (0.5, 0.99)))
    if middle > 0.6 * most:
        # Cut out closely round a marker's strokes, most of it is ink.
        sample = sample[sample < 0.5 * most]
        middle = float(np.median(sample)) if sample.size else 0.0
    spread = 1.4826 * float(np.median(np.abs(sample - middle))) if sample.size else 0.0
    return Relief(height, middle + 4.5 * spread)


def slope(shade: Grey) -> Floats:
    """Return how steep the shade is at each pixel: (h, w), in shades a pixel."""
    values = shade.astype(np.float32)
    steep = np.zeros(shade.shape, np.float32)
    steep[:, 1:-1] = np.abs(values[:, 2:] - values[:, :-2])
    steep[1:-1] = np.maximum(steep[1:-1], np.abs(values[2:] - values[:-2]))
    steep *= np.float32(0.5)
    return steep


def dilate(pixels: Grey, window: int) -> Grey:
    """Return the largest pixel of a square window, cut off at the edges."""
    return _extreme(_extreme(pixels, window, dark=False).T, window, dark=False).T


def erode(pixels: Grey, window: int) -> Grey:
    """Return the smallest pixel of a square window, cut off at the edges."""
    return _extreme(_extreme(pixels, window, dark=True).T, window, dark=True).T


def _extreme(pixels: Grey, window: int, *, dark: bool) -> Grey:
    """The extreme of `window` rows about each row; doubling spans make it log2(window) passes."""
    choose = np.minimum if dark else np.maximum
    half = window // 2
    fill = np.full((half, pixels.shape[1]), 255 if dark else 0, np.uint8)
    out = np.concatenate([fill, pixels, fill])
    span, window = 1, 2 * half + 1
    while span < window:
        step = min(span, window - span)
        out = choose(out[:-step], out[step:])
        span += step
    return out


def extent(ink: Floats) -> tuple[int, int, int, int]:
    """Return the box of what is ink in (h, w): left, top, right, bottom, the last two exclusive."""
    rows, columns = (np.flatnonzero((ink > INKED).any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def grow(mask: Mask, pixels: int) -> Mask:
    """Return a mask with everything within so many pixels of it, squarely."""
    return dilate(mask.view(np.uint8), 2 * pixels + 1).view(bool)


def _contrast(shade: Grey) -> float:
    window = max(shade.shape) // 7 | 1
    strong = []
    for dark in (True, False):
        height = relief(shade, window, dark=dark).height.ravel()
        count = max(_LEAST_STRONG, int(len(height) * _STRONGEST))
        strong.append(float(np.partition(height, -count)[-count:].mean()))
    return max(strong)


def _clean(shade: Grey, blur: float) -> Grey:
    """Without single pixels gone wrong, and a little smoothed."""
    padded = np.pad(shade, 1, mode="edge")
    height, width = shade.shape
    around = [
        padded[1 + y : 1 + y + height, 1 + x : 1 + x + width]
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
        if (y, x) != (0, 0)
    ]
    most, least = around[0], around[0]
    for one in around[1:]:
        most, least = np.maximum(most, one), np.minimum(least, one)
    over = shade > np.minimum(most, 255 - _IMPULSE) + _IMPULSE
    under = shade < np.maximum(least, _IMPULSE) - _IMPULSE
    wrong = over & (most < 255 - _IMPULSE) | under & (least > _IMPULSE)
    if wrong.any():
        shade = shade.copy()
        shade[wrong] = np.median([one[wrong] for one in around], axis=0).astype(np.uint8)
    if not blur:
        return shade
    return np.asarray(Image.fromarray(shade).filter(ImageFilter.GaussianBlur(blur)))
