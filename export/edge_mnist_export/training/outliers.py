"""A number of training images and a random generator in; outliers and their targets out.

Outliers are drawn images of two kinds, which MNIST lacks:

- Digits as written outside the United States, such as a 1 with a flag or a 0 with a slash.
- Non-digits: letters, symbols, scribbles, noise and blobs. Their target is the same probability
  for every digit (outlier exposure, Hendrycks et al. 2019). A network trained on digits alone
  classifies a letter with high confidence; a network trained this way stays below the bundle's
  rejection threshold.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mnist.datasets import synthetic

Images = NDArray[np.uint8]
Targets = NDArray[np.float32]
Rng = np.random.Generator

# Drawn digits and non-digits per image of the data set.
_DIGITS, _NON_DIGITS = 1 / 6, 1 / 9
# Fractions of the non-digits: letters and symbols, scribbles, noise. The rest are blobs.
_LETTERS, _SCRIBBLES, _NOISE = 0.4, 0.36, 0.06
# Different scribbles per call. Each is drawn several times, in different handwriting.
_MAX_SCRIBBLES = 500

# Descriptions as in `datasets.pen.DIGIT_GLYPHS`.
_GLYPHS = json.loads(Path(__file__).with_name("outlier_glyphs.json").read_text(encoding="utf-8"))
DIGIT_GLYPHS: dict[int, list[str]] = {int(key): _GLYPHS["digits"][key] for key in _GLYPHS["digits"]}
NON_DIGIT_GLYPHS: list[str] = list(_GLYPHS["non_digits"].values())


def count(images: int) -> int:
    """Return the number of outliers for a data set of `images` images."""
    return round(images * _DIGITS) + round(images * _NON_DIGITS)


def draw(images: int, rng: Rng) -> tuple[Images, Targets]:
    """Draw the outliers for a data set of `images` images.

    Returns:
        `count(images)` images (n, 28, 28), digits first, and their targets (n, 10).
    """
    digits, labels = draw_digits(round(images * _DIGITS), rng)
    non_digits = draw_non_digits(round(images * _NON_DIGITS), rng)
    uniform = np.full((len(non_digits), 10), 0.1, np.float32)
    targets = np.concatenate([np.eye(10, dtype=np.float32)[labels], uniform])
    return np.concatenate([digits, non_digits]), targets


def draw_digits(count: int, rng: Rng) -> tuple[Images, NDArray[np.intp]]:
    """Draw digits with their labels, every digit equally often.

    Half of the digits in `DIGIT_GLYPHS` have a glyph from there, all others one from
    `datasets.pen.DIGIT_GLYPHS`.

    Returns:
        Images (n, 28, 28) and labels (n,).
    """
    labels = np.arange(count) % 10
    images = synthetic.draw(labels, seed=_seed(rng))
    glyphs = [glyph for group in DIGIT_GLYPHS.values() for glyph in group]
    variants = {digit: len(DIGIT_GLYPHS[digit]) for digit in DIGIT_GLYPHS}
    first = dict(zip(variants, np.cumsum([0, *variants.values()]), strict=False))
    replaced = np.flatnonzero(np.isin(labels, list(variants)) & (rng.random(count) < 0.5))
    chosen = [first[digit] + rng.integers(variants[digit]) for digit in labels[replaced].tolist()]
    if chosen:
        images[replaced] = synthetic.draw_glyphs(glyphs, np.array(chosen), seed=_seed(rng))
    return images, labels


def draw_non_digits(count: int, rng: Rng) -> Images:
    """Draw letters and symbols, scribbles, noise and blobs, in this order: (n, 28, 28)."""
    letters, scribbles, noise = (round(count * share) for share in (_LETTERS, _SCRIBBLES, _NOISE))
    glyphs = [_random_glyph(rng) for _ in range(min(scribbles, _MAX_SCRIBBLES))]
    letter_numbers = rng.integers(len(NON_DIGIT_GLYPHS), size=letters)
    scribble_numbers = np.arange(scribbles) % max(len(glyphs), 1)
    return np.concatenate(
        [
            synthetic.draw_glyphs(NON_DIGIT_GLYPHS, letter_numbers, seed=_seed(rng)),
            synthetic.draw_glyphs(glyphs, scribble_numbers, seed=_seed(rng)),
            _draw_noise(noise, rng),
            _draw_blobs(count - letters - scribbles - noise, rng),
        ]
    )


def _seed(rng: Rng) -> int:
    return int(rng.integers(2**31))


def _random_glyph(rng: Rng) -> str:
    """Describe a scribble: at least three lines, or one long line with curves or corners."""
    while True:
        points = rng.integers((0, 0), (81, 101), (int(rng.integers(7, 11)), 2))
        # A narrower or lower one would look like a dot or a dash.
        if (np.ptp(points, axis=0) > (45, 55)).all():
            break
    places = [f"{x},{y}" for x, y in points]
    if rng.random() < 0.5:
        pairs = zip(places[::2], places[1::2], strict=False)
        return " | ".join(" ".join(pair) for pair in pairs if pair[0] != pair[1])
    corner = "*" if rng.random() < 0.5 else ""
    inner = [place + (corner if rng.random() < 0.6 else "") for place in places[1:-1]]
    return " ".join([places[0], *inner, places[-1]])


def _draw_noise(count: int, rng: Rng) -> Images:
    """Draw uniform grey noise on a random fraction of the pixels; a fourth of it is black."""
    shape = (count, synthetic.FRAME, synthetic.FRAME)
    brightest, share = rng.integers(0, 256, (count, 1, 1)), rng.random((count, 1, 1)) ** 2
    brightest[: count // 4] = 0
    noise = rng.random(shape) * (brightest + 1) * (rng.random(shape) < share)
    return noise.astype(np.uint8)


def _draw_blobs(count: int, rng: Rng) -> Images:
    """Draw blobs with smooth outlines, some with holes or in pieces: smoothed, clipped noise."""
    side = synthetic.BOX
    pixels = np.arange(side)
    radius = rng.uniform(1, 5, (count, 1, 1))
    smoothing = np.exp(-0.5 * ((pixels[:, np.newaxis] - pixels) / radius) ** 2)
    smoothing /= np.linalg.norm(smoothing, axis=2, keepdims=True)
    waves = smoothing @ rng.standard_normal((count, side, side)) @ smoothing.transpose(0, 2, 1)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    height, width = rng.uniform(0.6, 1, (2, count, 1, 1))
    ellipse = (y / height) ** 2 + (x / width) ** 2  # 1 on its outline
    level = waves + rng.uniform(-0.5, 2, (count, 1, 1)) - 8 * np.maximum(ellipse - 0.6, 0)
    mask = np.clip(level * rng.uniform(1, 4, (count, 1, 1)) + 0.5, 0, 1) * (ellipse < 1.05)
    mask[:, side // 2, side // 2] = 1  # no blob is empty
    return synthetic.frame(mask.astype(np.float32))
