"""What MNIST lacks: the digits of other hands, and what is no digit at all.

MNIST was written in the United States: its 1 has hardly a flag, its 0 no slash. Digits are drawn
as the stand-in's are (`edge_mnist.datasets.synthetic`), with ways to write that these lack.

A network that has only seen digits reads a letter or a scribble with confidence. One that is asked
for equal probabilities on what is no digit learns to be unsure of it (outlier exposure: Hendrycks
et al. 2019), and is refused below the bundle's threshold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_mnist.datasets import synthetic

Images = NDArray[np.uint8]
Targets = NDArray[np.float32]
Rng = np.random.Generator

# So many digits of other hands, and so many pictures of none, for every digit of the data set.
DIGITS, NOTHINGS = 1 / 6, 1 / 9
# Of the pictures of none: letters and signs, strokes at random, noise; the rest are blobs.
_LETTERS, _STROKES, _NOISE = 0.4, 0.36, 0.06
# Random strokes an epoch; each is drawn several times, no two alike.
_WAYS = 500

# Descriptions as in edge_mnist/datasets/glyphs.txt.
WAYS: dict[int, tuple[str, ...]] = {
    0: (
        "40,0 12,30 10,70 40,100 70,70 68,30 40,0 | 66,6 14,94",
        "45,4 16,30 10,66 36,98 70,72 74,30 45,4 | 74,12 6,88",
    ),
    1: (
        "12,46 54,0* 46,100",
        "20,34 54,0* 46,100",
        "16,42 46,0* 44,100",
        "6,50 50,0* 52,100",
        "26,28 56,0* 40,100",
        "20,36 50,0* 50,100 | 18,100 80,99",
    ),
    4: ("60,100 60,0* 6,66* 90,64",),
    9: ("64,20 36,4 14,26 34,48 62,24* 58,100",),
}
SIGNS: tuple[str, ...] = (
    "8,100 40,0* 72,100 | 20,62 60,62",  # A
    "70,14 40,0 12,30 10,70 38,98 72,88",  # C
    "70,2 15,0* 12,50* 14,100* 72,98 | 12,50 60,48",  # E
    "72,2 15,0* 12,50* 12,100 | 12,50 58,48",  # F
    "12,0 10,100 | 68,0 70,100 | 10,50 69,50",  # H
    "14,0 12,100 | 66,2 14,54* 70,98",  # K
    "14,0 12,98* 66,96",  # L
    "8,100 14,0* 40,60* 68,0* 74,100",  # M
    "10,100 12,0* 66,98* 68,0",  # N
    "10,100 14,0 | 14,4 50,0 66,22 48,46 14,50",  # P
    "10,100 14,0 | 14,4 50,0 66,22 48,46 14,50* 70,100",  # R
    "5,4 75,0 | 40,2 40,100",  # T
    "12,0 10,66 30,98 58,90 66,60 68,0",  # U
    "5,5 40,98* 74,2",  # V
    "5,0 22,98* 40,30* 58,98* 76,0",  # W
    "8,0 70,98 | 70,2 8,100",  # X
    "8,0 40,48 72,0 | 40,48 40,100",  # Y
    "62,40 38,30 14,50 16,80 40,88 60,70 62,36* 64,90",  # a
    "14,62 62,58 56,34 34,28 12,56 20,88 60,84",  # e
    "50,6 34,4 30,30 28,98 | 8,40 60,40",  # f
    "12,0 12,98 | 12,60 36,40 60,54 60,98",  # h
    "8,98 10,40* 10,60 30,42 38,60 38,98 | 38,60 60,42 70,60 70,98",  # m
    "12,96 12,40 | 12,60 38,40 60,56 60,96",  # n
    "12,98 14,38 | 14,62 34,40 60,42",  # r
    "34,0 30,84 50,98 64,90 | 8,30 64,30",  # t
    "18,18 48,0 66,22 40,48 40,70 | 40,90 40,98",  # ?
    "80,90 20,20 36,0 54,14 20,60 24,94 60,90 80,56",  # &
    "25,0 20,100 | 60,0 55,100 | 2,34 80,30 | 0,68 78,66",  # #
    "40,5 40,95 | 0,50 84,50",  # +
    "8,30 80,28 | 8,68 80,66",  # =
    "8,60 34,98* 84,4",  # a tick
    "0,50 84,50 | 56,22 84,50* 56,80",  # an arrow
    "40,26 22,4 4,24 14,54 40,96* 66,54 78,22 58,4 40,26",  # a heart
    "40,0 6,96* 84,36* 0,34* 72,98* 40,0",  # a star
    "8,8 76,10* 78,90* 6,92* 8,8",  # a square
    "40,4 80,92* 2,90* 40,4",  # a triangle
    "2,60 20,40 36,60 54,40 70,60 88,42",  # a wave
    "0,50 10,10* 22,90* 36,10* 50,90* 64,10* 76,90",  # a zigzag
    "40,52 54,50 40,66 22,50 42,28 68,50 40,88 6,56 30,6 60,6",  # a spiral
)


def count(images: int) -> int:
    """Return how many drawings are mixed into so many images of a data set."""
    return round(images * DIGITS) + round(images * NOTHINGS)


def draw(images: int, rng: Rng) -> tuple[Images, Targets]:
    """Return what is mixed into so many images of a data set: (n, 28, 28), targets (n, 10)."""
    digits, labels = other_digits(round(images * DIGITS), rng)
    nothings = no_digits(round(images * NOTHINGS), rng)
    equal = np.full((len(nothings), 10), 0.1, np.float32)
    targets = np.concatenate([np.eye(10, dtype=np.float32)[labels], equal])
    return np.concatenate([digits, nothings]), targets


def other_digits(count: int, rng: Rng) -> tuple[Images, NDArray[np.intp]]:
    """Return drawn digits (n, 28, 28) and labels (n,), every digit equally often.

    Half of those digits that `WAYS` has are written so, the others as in glyphs.txt.
    """
    labels = np.arange(count) % 10
    images = synthetic.draw(labels, seed=_seed(rng))
    ways = [way for digit in WAYS for way in WAYS[digit]]
    first = dict(zip(WAYS, np.cumsum([0, *map(len, WAYS.values())]), strict=False))
    lacking = np.flatnonzero(np.isin(labels, list(WAYS)) & (rng.random(count) < 0.5))
    numbers = [first[int(d)] + rng.integers(len(WAYS[int(d)])) for d in labels[lacking]]
    if numbers:
        images[lacking] = synthetic.draw_glyphs(ways, np.array(numbers), seed=_seed(rng))
    return images, labels


def no_digits(count: int, rng: Rng) -> Images:
    """Return pictures (n, 28, 28) of what is no digit: letters, signs, strokes, noise, blobs."""
    letters, strokes, noise = (round(count * share) for share in (_LETTERS, _STROKES, _NOISE))
    ways = [_random_way(rng) for _ in range(min(strokes, _WAYS))]
    return np.concatenate(
        [
            synthetic.draw_glyphs(SIGNS, rng.integers(len(SIGNS), size=letters), seed=_seed(rng)),
            synthetic.draw_glyphs(ways, np.arange(strokes) % max(len(ways), 1), seed=_seed(rng)),
            _noises(noise, rng),
            _blobs(count - letters - strokes - noise, rng),
        ]
    )


def _seed(rng: Rng) -> int:
    return int(rng.integers(2**31))


def _random_way(rng: Rng) -> str:
    """Three lines or more, or one long line with bends or corners; neither a dot nor a dash."""
    while True:
        points = rng.integers((0, 0), (81, 101), (int(rng.integers(7, 11)), 2))
        if (np.ptp(points, axis=0) > (45, 55)).all():
            break
    places = [f"{x},{y}" for x, y in points]
    if rng.random() < 0.5:
        pairs = zip(places[::2], places[1::2], strict=False)
        return " | ".join(" ".join(pair) for pair in pairs if pair[0] != pair[1])
    corner = "*" if rng.random() < 0.5 else ""
    inner = [place + (corner if rng.random() < 0.6 else "") for place in places[1:-1]]
    return " ".join([places[0], *inner, places[-1]])


def _noises(count: int, rng: Rng) -> Images:
    """Grey noise on a part of the pixels: from nothing at all to all of them."""
    shape = (count, synthetic.FRAME, synthetic.FRAME)
    most, share = rng.integers(0, 256, (count, 1, 1)), rng.random((count, 1, 1)) ** 2
    most[: count // 4] = 0
    noise: Images = (rng.random(shape) * (most + 1) * (rng.random(shape) < share)).astype(np.uint8)
    return noise


def _blobs(count: int, rng: Rng) -> Images:
    """Spots with smooth outlines, whole, with holes or in pieces."""
    side = synthetic.BOX
    at = np.arange(side)
    reach = rng.uniform(1, 5, (count, 1, 1))
    smooth = np.exp(-0.5 * ((at[:, np.newaxis] - at) / reach) ** 2)
    smooth /= np.linalg.norm(smooth, axis=2, keepdims=True)
    waves = smooth @ rng.standard_normal((count, side, side)) @ smooth.transpose(0, 2, 1)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    tall, wide = rng.uniform(0.6, 1, (2, count, 1, 1))
    away = (y / tall) ** 2 + (x / wide) ** 2
    level = waves + rng.uniform(-0.5, 2, (count, 1, 1)) - 8 * np.maximum(away - 0.6, 0)
    ink = np.clip(level * rng.uniform(1, 4, (count, 1, 1)) + 0.5, 0, 1) * (away < 1.05)
    ink[:, side // 2, side // 2] = 1  # none without ink
    return synthetic.frame(ink.astype(np.float32))
