"""Synthetic digits: labels or a split's name in; images (n, 28, 28) uint8 in MNIST's format out.

They replace MNIST where it is not available.

1.  A random glyph of the digit is distorted (`pen`) and scaled to a box of 20 × 20.
2.  A sum of Gaussians along the path gives each pixel's distance from it. A Gaussian is separable,
    so that one small matrix product draws a picture.
3.  Distance minus the pen's radius gives the mask, with soft edges.
4.  The box is moved by whole pixels into 28 × 28, the centre of mass in the middle.

Scaling and centring are MNIST's (http://yann.lecun.com/exdb/mnist/). Random ranges were tuned to
the statistics of MNIST's training images.

The same seed gives the same bytes on one machine. Another processor or another numpy may round
differently and change a grey level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from . import pen
from .pen import Floats, Glyphs
from .split import SplitName

# For each character: the descriptions of its glyphs.
_Alphabet: TypeAlias = Sequence[Sequence[str]]

FRAME, BOX = 28, 20  # pixels a side
CHUNK = 500  # images drawn at once, which takes about 40 MB
SPLITS = {"train": (0, 60_000), "test": (1, 10_000)}  # random stream, images

_PRESSURES = 7  # pressure values along a path
_SIGMA_PX = 0.75  # of the Gaussians
# Standard normal numbers per image. Their order determines the images.
_RANDOM_NUMBERS = {
    "jitter": pen.JITTER,
    "bend": pen.BEND,
    "placement": pen.PLACEMENT,
    "pen": 4,
    "pressure": _PRESSURES,
    "edge": BOX * BOX,
}


def split(
    name: SplitName, *, seed: int = 0, limit: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a split: 60,000 (train) or 10,000 (test) images, equally many per digit, shuffled.

    Args:
        name: `train` and `test` use different random streams, whatever the seeds.
        seed: of the random numbers.
        limit: draw only the first images. They are the same as without a limit.

    Returns:
        Images (n, 28, 28) and labels (n,), both uint8.
    """
    stream_number, count = SPLITS[name]
    stream = np.random.SeedSequence(seed, spawn_key=(stream_number,))
    labels = np.random.default_rng(stream).permutation(np.arange(count) % 10)[:limit]
    return _draw(pen.DIGIT_GLYPHS, labels, stream), labels.astype(np.uint8)


def draw(labels: NDArray[np.integer], *, seed: int) -> NDArray[np.uint8]:
    """Draw one image per label.

    Args:
        labels: (n,) integers of 0 to 9.
        seed: image i depends only on the seed, i and labels[i].

    Returns:
        Images (n, 28, 28) uint8, white (255) on black (0).

    Raises:
        DataError: a label is not a digit.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not np.isin(labels, range(10)).all():
        raise DataError(
            f"Expected labels of shape (n,), integers 0 to 9, got {labels.dtype} {labels.shape} "
            f"with values {np.unique(labels)[:12]}; give one digit per image",
            code="data-labels",
        )
    return _draw(pen.DIGIT_GLYPHS, labels.astype(np.intp), np.random.SeedSequence(seed))


def draw_glyphs(
    descriptions: Sequence[str], indices: NDArray[np.integer], *, seed: int
) -> NDArray[np.uint8]:
    """Draw glyphs that need not be digits, in the style of `draw`.

    Args:
        descriptions: of glyphs, as in glyphs.txt, of at most 10 points each.
        indices: (n,); image i shows `descriptions[indices[i]]`.
        seed: as for `draw`.

    Returns:
        Images (n, 28, 28) uint8, white (255) on black (0).
    """
    alphabet = [(description,) for description in descriptions]
    return _draw(alphabet, indices.astype(np.intp), np.random.SeedSequence(seed))


def _draw(
    alphabet: _Alphabet, labels: NDArray[np.intp], stream: np.random.SeedSequence
) -> NDArray[np.uint8]:
    """Draw a glyph of the character `alphabet[labels[i]]` as image i, each chunk with a stream."""
    frames = np.empty((len(labels), FRAME, FRAME), np.uint8)
    starts = range(0, len(labels), CHUNK)
    for start, child in zip(starts, stream.spawn(len(starts)), strict=True):
        chunk = slice(start, start + CHUNK)
        normal, uniform = map(np.random.default_rng, child.spawn(2))
        frames[chunk] = frame(_masks(_choose_glyphs(alphabet, labels[chunk], uniform), normal))
    return frames


def _choose_glyphs(
    alphabet: _Alphabet, labels: NDArray[np.intp], rng: np.random.Generator
) -> Glyphs:
    """Choose one glyph (n,) at random for each label (n,)."""
    counts = np.array([len(glyphs) for glyphs in alphabet])
    first = np.cumsum(counts) - counts
    chosen = first[labels] + (rng.random(len(labels)) * counts[labels]).astype(np.intp)
    return pen.parse_glyphs(tuple(g for glyphs in alphabet for g in glyphs)).take(chosen)


def _masks(glyphs: Glyphs, rng: np.random.Generator) -> Floats:
    """Draw n glyphs as masks (n, BOX, BOX) in [0, 1]."""
    shape = (len(glyphs.points), sum(_RANDOM_NUMBERS.values()))
    parts = np.split(
        rng.standard_normal(shape, np.float32),
        np.cumsum(list(_RANDOM_NUMBERS.values()))[:-1],
        axis=1,
    )
    z = dict(zip(_RANDOM_NUMBERS, parts, strict=True))
    # Median and spread of radius, softness and roughness give MNIST's stroke thickness and
    # histogram of grey levels.
    radius_px = np.clip(1.22 * np.exp(0.25 * z["pen"][:, 0]), 0.7, 2.6)[:, None, None]
    soft_px = 1.35 * np.exp(0.15 * z["pen"][:, 1, None, None])
    rough_px = 0.10 * np.exp(0.3 * z["pen"][:, 2, None, None])
    nib = np.exp(0.1 * z["pen"][:, 3, None] * np.array([1, -1], np.float32))
    path = _fit(pen.distort(glyphs, z["jitter"], z["bend"], z["placement"]), radius_px)
    # Pressure grows with the radius, so that the line of a fine pen does not vanish.
    pressure = _interpolate(0.33 * radius_px[:, 0] * z["pressure"])
    distance_px = _distance_px(path, glyphs.pen_down, nib, pressure)
    distance_px += rough_px * z["edge"].reshape(-1, BOX, BOX)
    level = np.clip((radius_px - distance_px) / soft_px + 0.5, 0, 1)
    masks: Floats = level * level * (3 - 2 * level)
    return masks


def _fit(path: Floats, radius_px: Floats) -> Floats:
    """Scale a path to pixels, so that its stroke fills the longer side of the box."""
    low, high = path.min(axis=1, keepdims=True), path.max(axis=1, keepdims=True)
    scale = (BOX - 2 * radius_px) / (high - low).max(axis=2, keepdims=True)
    fitted: Floats = (path - (low + high) / 2) * scale + (BOX - 1) / 2
    return fitted


def _distance_px(path: Floats, pen_down: Floats, nib: Floats, pressure: Floats) -> Floats:
    """Return the distance (n, BOX, BOX) from each pixel's centre to the path.

    Along a straight path of points `gap` apart, Gaussians of standard deviation s sum to
    sqrt(2 pi) s / gap * exp(-d^2 / 2 s^2), from which the distance d follows. Pressure p scales a
    point's Gaussian by e^p, which lowers d^2 by 2 p s^2.
    """
    steps = np.linalg.norm(np.diff(path, axis=1), axis=2)
    gap = (steps * pen_down).sum(axis=1) / pen_down.sum(axis=1)
    offsets = (np.arange(BOX, dtype=np.float32)[:, None] - path[:, :, None, :]) / _SIGMA_PX
    bells = np.exp(-0.5 * (offsets * nib[:, None, None, :]) ** 2)
    bells[..., 1] *= np.exp(pressure)[:, :, None]
    total = np.matmul(bells[..., 1].swapaxes(1, 2), bells[..., 0])
    total *= (gap / (math.sqrt(2 * math.pi) * _SIGMA_PX))[:, None, None]
    distance: Floats = _SIGMA_PX * np.sqrt(np.maximum(-2 * np.log(total + 1e-12), 0))
    return distance


def _interpolate(pressure: Floats) -> Floats:
    """Interpolate (n, _PRESSURES) linearly to (n, SAMPLES)."""
    at = np.linspace(0, _PRESSURES - 1, pen.SAMPLES, dtype=np.float32)
    left = np.minimum(at.astype(np.intp), _PRESSURES - 2)
    share = at - left.astype(np.float32)
    interpolated: Floats = pressure[:, left] * (1 - share) + pressure[:, left + 1] * share
    return interpolated


def frame(masks: Floats) -> NDArray[np.uint8]:
    """Place masks in images, the centre of mass in the middle.

    Args:
        masks: (n, BOX, BOX) in [0, 1].

    Returns:
        (n, FRAME, FRAME) in [0, 255].
    """
    at = np.arange(BOX, dtype=np.float32)
    mass = masks.sum(axis=(1, 2))
    # MNIST's centres of mass lie at pixel FRAME / 2, counted from 0.
    top, left = (
        np.clip(np.rint(FRAME / 2 - (masks.sum(axis=axis) * at).sum(axis=1) / mass), 0, FRAME - BOX)
        for axis in (2, 1)
    )
    rows, columns = (start[:, None].astype(np.intp) + np.arange(BOX) for start in (top, left))
    frames = np.zeros((len(masks), FRAME, FRAME), np.uint8)
    image = np.arange(len(masks))[:, None, None]
    frames[image, rows[:, :, None], columns[:, None, :]] = np.rint(255 * masks).astype(np.uint8)
    return frames
