"""Separate pen strokes from their background by a top-hat transform.

The background is a morphological closing for dark strokes, an opening for light ones: the picture
without anything narrower than a window. Wide things, such as the edge of a shadow, stay in the
background, so uneven light does not matter (Serra 1982, Image Analysis and Mathematical
Morphology).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from .arrays import Floats, Grey, Mask

# A colour channel replaces the luminance only if its contrast is this many times as high.
_MIN_GAIN = 1.25
# Grey levels of 255: a picture whose channels differ by less counts as grey.
_MIN_COLOUR = 30
# Contrast is averaged over the top 0.2 % of pixels, at least 40.
_STRONGEST, _MIN_STRONGEST = 0.002, 40
# Foreground values lie in [0, 1]; a pixel above this one belongs to the digit.
FOREGROUND_LEVEL = 0.3
# Grey levels of 255: a pixel that differs by more from all eight neighbours is impulse noise.
_IMPULSE = 40
# Grey levels of 255: the response divides by the background's brightness, or by its distance from
# white for light strokes. Lower divisors would amplify noise.
_MIN_DARK_RANGE, _MIN_LIGHT_RANGE = 40, 64
# Noise reaches this many standard deviations above the median response.
_NOISE_DEVIATIONS = 4.5
# The standard deviation of a normal distribution is its median absolute deviation times this.
_MAD_TO_DEVIATION = 1.4826


class TopHat(NamedTuple):
    """The difference of each pixel from its background: `response` (h, w) in [0, 1].

    Pixels of bare paper have responses of at most `noise`.
    """

    response: Floats
    noise: float


def choose_channel(image: Image.Image) -> Grey:
    """Return the luminance of an L or RGB image, or a colour channel that has more contrast."""
    luminance = image.convert("L")
    if image.mode != "RGB":
        return _denoise(np.asarray(luminance))
    # At half the size, an average over four pixels stands for the denoising.
    half = image.reduce(2)
    channels = [np.asarray(channel) for channel in half.split()]
    samples = [channel[::2, ::2].astype(np.int16) for channel in channels]
    if max(int(np.ptp(sample - samples[0])) for sample in samples) < _MIN_COLOUR:
        return _denoise(np.asarray(luminance))
    contrasts = [_contrast(grey) for grey in (np.asarray(half.convert("L")), *channels)]
    best = int(np.argmax(contrasts))
    chosen = contrasts[best] > _MIN_GAIN * contrasts[0]
    return _denoise(np.asarray(image.getchannel(best - 1) if chosen else luminance))


def top_hat(grey: Grey, window: int, *, dark: bool) -> TopHat:
    """Return the response of strokes narrower than `window` pixels, dark or light ones."""
    response = _respond(grey, window, dark=dark)
    return TopHat(response, _noise_level(response))


def _respond(grey: Grey, window: int, *, dark: bool) -> Floats:
    if dark:
        # Ink reflects a share of the light, so its response is a share of the paper's brightness.
        background = erode(dilate(grey, window), window)
        available = np.maximum(background, _MIN_DARK_RANGE)
        difference = background - grey
    else:
        background = dilate(erode(grey, window), window)
        available = np.maximum(255 - background, _MIN_LIGHT_RANGE)
        difference = grey - background
    response: Floats = difference.astype(np.float32)
    response /= available
    return response


def _noise_level(response: Floats) -> float:
    """Return the highest response of bare paper, estimated from median and MAD."""
    sample = response[::4, ::4].ravel()
    middle, highest = _quantile(sample, 0.5), _quantile(sample, 0.99)
    if middle > 0.6 * highest:
        # In a picture cut out closely round thick strokes, most pixels are strokes, not paper.
        sample = sample[sample < 0.5 * highest]
        middle = _quantile(sample, 0.5) if sample.size else 0.0
    deviation = _quantile(np.abs(sample - np.float32(middle)), 0.5) if sample.size else 0.0
    return middle + _NOISE_DEVIATIONS * (_MAD_TO_DEVIATION * deviation)


def _quantile(values: Floats, share: float) -> float:
    """Return the value at a share of the sorted values (n,). `np.quantile` takes twice as long."""
    place = int(share * (len(values) - 1))
    return float(np.partition(values, place)[place])


def extract_strokes(response: Floats, mask: Mask) -> Floats:
    """Return a foreground (h, w) in [0, 1]: 1 where the response is as strong as in most strokes.

    Args:
        response: (h, w), of a top-hat transform.
        mask: (h, w), the pixels of the strokes.
    """
    # The core of strokes, without their softer edges, has the upper 30 % of responses.
    typical = float(np.quantile(response[mask], 0.7))
    # Smooth edges, 2 px wide: 0 at a quarter of the typical response, 1 at three quarters.
    foreground: Floats = np.clip((response / typical - 0.25) / 0.5, 0, 1)
    return foreground


def gradient_magnitude(grey: Grey) -> Grey:
    """Return the larger difference of both pairs of opposite neighbours at each pixel, (h, w).

    It is twice the gradient in grey levels a pixel; 0 where a neighbour is missing.
    """
    gradient = np.zeros(grey.shape, np.uint8)
    gradient[:, 1:-1] = _difference(grey[:, 2:], grey[:, :-2])
    gradient[1:-1] = np.maximum(gradient[1:-1], _difference(grey[2:], grey[:-2]))
    return gradient


def _difference(one: Grey, other: Grey) -> Grey:
    difference: Grey = np.maximum(one, other) - np.minimum(one, other)
    return difference


def dilate(grey: Grey, window: int) -> Grey:
    """Return the largest pixel of a square window round each pixel, cut off at the borders."""
    return _extreme_of_rows(_extreme_of_rows(grey, window, least=False).T, window, least=False).T


def erode(grey: Grey, window: int) -> Grey:
    """Return the smallest pixel of a square window round each pixel, cut off at the borders."""
    return _extreme_of_rows(_extreme_of_rows(grey, window, least=True).T, window, least=True).T


def _extreme_of_rows(grey: Grey, window: int, *, least: bool) -> Grey:
    """Return the extreme of `window` rows about each row, in log2(window) passes."""
    extreme = np.minimum if least else np.maximum
    half = window // 2
    padding = np.full((half, grey.shape[1]), 255 if least else 0, np.uint8)
    out = np.concatenate([padding, grey, padding])
    span, window = 1, 2 * half + 1
    while span < window:
        step = min(span, window - span)
        out = extreme(out[:-step], out[step:])
        span += step
    return out


def dilate_mask(mask: Mask, radius: int) -> Mask:
    """Return a mask with all pixels within a square of `radius` pixels round it."""
    return dilate(mask.view(np.uint8), 2 * radius + 1).view(bool)


def bounding_box(
    foreground: Floats | Grey, level: float = FOREGROUND_LEVEL
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of what lies above a level; right and bottom are excluded."""
    mask = foreground > level
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def strongest(response: Floats) -> float:
    """Return the mean of the strongest responses (h, w)."""
    values = response.ravel()
    count = max(_MIN_STRONGEST, int(len(values) * _STRONGEST))
    return float(np.partition(values, -count)[-count:].mean())


def _contrast(grey: Grey) -> float:
    """Return the mean response of the strongest pixels, dark or light."""
    window = max(grey.shape) // 7 | 1
    return max(strongest(_respond(grey, window, dark=dark)) for dark in (True, False))


def _denoise(grey: Grey) -> Grey:
    """Replace impulse noise by the median of its neighbours, then blur a little."""
    padded = np.pad(grey, 1, mode="edge")
    highest, lowest = (_extreme_of_neighbours(padded, e) for e in (np.maximum, np.minimum))
    impulse = np.maximum(grey, highest) - highest > _IMPULSE
    impulse |= lowest - np.minimum(grey, lowest) > _IMPULSE
    if impulse.any():
        y, x = np.nonzero(impulse)
        neighbours = [padded[y + i, x + j] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
        padded[y + 1, x + 1] = np.median(neighbours, axis=0).astype(np.uint8)
    return _blur(padded)


def _extreme_of_neighbours(padded: Grey, extreme: np.ufunc) -> Grey:
    """Return the extreme of the eight neighbours of each pixel but those of the border."""
    rows = extreme(extreme(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    middle = extreme(padded[1:-1, :-2], padded[1:-1, 2:])
    neighbours: Grey = extreme(extreme(rows[:-2], rows[2:]), middle)
    return neighbours


def _blur(padded: Grey) -> Grey:
    """Return the average of each 3×3 pixels with binomial weights, a Gaussian of sigma 0.7."""
    values = padded.astype(np.uint16)
    rows = values[:-2] + 2 * values[1:-1] + values[2:]
    sums = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:] + 8
    blurred: Grey = (sums >> 4).astype(np.uint8)
    return blurred
