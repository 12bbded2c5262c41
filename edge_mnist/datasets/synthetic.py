"""Digits drawn by this module, shaped like MNIST's: what takes MNIST's place where it can't be had.

1.  `STROKES` says which points a pen passes. A smooth curve (Catmull-Rom) is linear in its
    points, so each way to write a digit becomes a matrix from points to places along the ink.
2.  The points are jittered; the digit is bent, stretched, slanted and turned.
3.  It is scaled until its ink fits a 20 x 20 box.
4.  A sum of Gaussians along the path tells how far each pixel is from the pen. A Gaussian is
    separable, so a picture costs one small matrix product. Distance against the pen's radius
    is the ink, with a soft edge.
5.  The box goes into 28 x 28 by whole pixels, centre of mass in the middle.

Steps 3 and 5 are MNIST's own (http://yann.lecun.com/exdb/mnist/). Strokes and random ranges
were set by looking at MNIST's training images; nothing of them is used or stored here.

The same seed gives the same bytes on one machine. Another processor or numpy may round a float
differently, and with it a grey.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

Floats: TypeAlias = NDArray[np.float32]

# A line is one way to write the digit, all equally likely: the points `x,y` that the pen passes,
# in hundredths of the digit's height, y down. `*` is a corner, `|` lifts the pen. A stroke that
# ends where it began closes smoothly; a point that comes twice is one point, so joints hold.
STROKES: dict[int, tuple[str, ...]] = {
    0: (
        "50,0 20,14 8,50 20,86 50,100 80,86 92,50 80,14 50,0",
        "40,0 20,18 12,50 20,82 40,100 60,82 68,50 60,18 40,0",
        "62,6 35,3 10,32 8,70 32,98 65,94 88,60 84,25 60,2 38,10",
        "45,6 16,30 8,65 35,98 70,92 90,55 80,16 56,2",
        "72,14 42,0 12,30 8,70 36,100 72,88 90,48 74,10 48,4 34,22",
        "30,10 8,40 14,82 56,98 96,74 94,34 62,10 36,16",
        "30,4 10,30 8,70 36,100 70,88 84,48 68,12 30,4",
        "50,14 28,4 8,36 10,76 38,100 72,84 84,44 66,8 44,10 36,34",
        "70,2 34,16 10,60 22,98 58,84 84,34 70,2",
        "76,4 36,18 8,64 28,98 66,78 80,30 58,4 42,30 34,62",
        "40,8 14,34 10,74 36,100 66,84 76,42 60,10 44,0 84,2",
    ),
    1: (
        "52,0 48,100",
        "64,0 40,100",
        "72,0 32,100",
        "46,0 53,50 48,100",
        "52,0 47,50 54,100",
        "34,16 54,0* 46,100",
        "24,32 42,16 56,0* 44,100",
        "28,22 54,0* 46,100 | 16,100 46,100 78,99",
        "30,18 60,8* 48,96 | 6,98 48,96 90,94",
    ),
    2: (
        "12,20 40,0 68,16 60,48 32,84 12,96 6,84 24,76 58,92 92,88",
        "10,25 36,2 68,14 64,44 38,72 8,100* 50,98 88,97",
        "5,14 42,3 80,10 66,38 34,70 5,98* 50,96 95,95",
        "30,34 14,22 32,3 64,8 70,34 46,68 8,98* 42,88 86,98",
        "14,25 36,2 58,14 56,42 36,70 16,92 30,99 66,92",
        "18,22 40,0 60,14 52,48 30,86 10,98 2,86 20,74 58,78 100,76",
        "14,22 42,0 66,18 58,48 32,86 12,96 4,80 22,66 52,82 96,78",
        "6,34 26,4 60,8 60,42 38,74 8,98 2,82 22,70 46,86 78,100",
        "20,18 44,0 62,18 46,54 16,92* 50,84 100,72",
        "22,30 26,6 52,2 62,24 48,62 22,96 4,88 14,66 40,74 82,96",
        "10,12 48,2 64,26 50,60 26,86 14,80 26,70 46,84 72,92 96,80",
        "22,14 46,0 66,18 58,50 36,86 14,96 6,78 26,62 48,74 70,98",
        "10,14 48,0 72,20 50,54 14,88 2,72 18,58 50,64 92,90",
        "16,40 22,10 56,2 70,26 54,66 22,96 4,82 24,62 54,76 84,98",
        "20,34 20,8 54,2 58,34 34,74 10,96* 36,84 62,96 88,88",
    ),
    3: (
        "12,14 42,0 68,18 38,46* 70,62 66,88 35,100 8,88",
        "12,4 70,3* 38,40* 70,56 70,86 35,100 8,92",
        "10,14 42,0 68,16 54,38 30,46 56,50 72,72 40,100 6,90",
        "8,24 24,4 54,2 64,18 34,44* 60,50 62,80 36,98 6,92",
        "8,10 44,0 78,14 40,44* 62,62 48,92 5,100",
        "16,10 40,2 56,14 28,38* 70,52 68,86 30,100 4,84",
        "14,10 46,0 62,14 44,40* 58,58 46,86 14,100",
        "6,22 20,4 56,4 62,26 36,48* 66,62 60,94 22,98 8,80",
        "10,8 50,0 66,20 38,46 30,42 42,40 70,62 58,94 6,96",
        "14,16 40,0 56,16 36,44* 56,58 44,84 20,100",
        "8,16 38,0 58,14 50,40* 60,62 50,88 20,100",
        "6,12 48,4 84,2* 40,40* 66,54 60,84 10,100",
    ),
    4: (
        "20,0 12,28 8,52* 44,51 80,47 | 70,4 64,52 60,100",
        "36,0 22,28 8,56* 46,54 84,50 | 66,25 60,60 52,100",
        "60,100 60,50 60,0* 32,32 5,66* 46,66 88,64",
        "12,4 8,34 24,50 50,46 68,32 | 74,0 68,32 66,64 60,100",
        "26,0 5,46* 42,45 80,42 | 62,20 52,60 44,100",
        "10,2 14,36 38,48 64,36 80,0* 64,52 44,100",
        "18,4 8,46* 38,45 64,40 74,2* 66,50 60,100",
        "22,0 8,62* 44,66 92,58 | 74,14 70,62 66,100",
        "26,10 10,52* 34,60 88,52 | 54,0 50,52 40,100",
    ),
    5: (
        "75,1 48,2 22,3* 16,42* 48,35 76,58 64,90 34,100 5,90",
        "28,5 20,42* 54,36 74,62 54,94 5,94 | 28,5 56,4 88,0",
        "80,4 42,2 20,22 40,44 66,62 60,90 30,100 5,88",
        "95,0 68,4 40,8* 28,42* 54,44 62,66 44,92 5,100",
        "70,2 20,2* 20,54* 50,46 70,66 54,94 10,98",
        "22,4 14,46* 50,40 68,64 50,96 5,92 | 32,8 70,2",
        "64,0 28,4* 22,40* 58,44 66,74 36,100 8,90 18,76",
        "30,2 14,34* 44,44 58,66 40,92 8,100 | 30,2 64,0",
        "60,0 36,6 20,30 42,48 62,70 44,98 14,92 20,76",
        "36,12 26,42* 56,40 66,62 44,90 5,98 | 36,12 66,8 100,0",
        "78,0 26,4* 16,44* 46,34 74,50 70,84 36,98 10,82 18,64",
        "20,2 18,46* 56,40 64,66 52,92 26,100 | 14,4 44,6 66,2",
    ),
    6: (
        "55,0 22,34 8,70 30,100 62,88 60,62 34,56 12,78",
        "62,0 32,32 10,72 24,98 50,94 60,76 42,64 15,80",
        "72,8 48,2 18,30 8,68 32,100 65,88 62,60 34,54 10,74",
        "48,0 16,38 10,75 40,100 78,82 72,52 38,48 12,70",
        "20,0 10,45 12,82 35,100 64,84 58,56 34,52 12,70",
        "42,0 14,48 24,96 66,96 82,72 58,60 34,82",
        "26,0 6,48 22,94 66,100 96,74 80,52 54,66 46,94",
        "50,0 26,44 8,86 20,100 40,88 34,72 16,88",
        "60,0 28,26 8,66 20,98 54,90 66,62 48,50 26,72 20,98",
    ),
    7: (
        "5,8 42,7 80,5* 52,50 36,100",
        "8,24 11,6* 45,6 80,5* 54,50 42,100",
        "5,8 42,7 80,5* 54,50 38,100 | 28,54 76,48",
        "5,20 24,5 50,12 84,2* 56,50 40,100",
        "8,12 44,2 76,12 70,48 48,100",
        "18,12 62,5* 57,50 52,100",
        "5,12 50,10 92,14* 58,54 26,100",
        "4,42 12,8* 46,9 78,10* 62,50 54,100",
        "5,18 26,2 54,10 78,2* 52,52 40,100 | 14,60 48,56 84,58",
        "10,36 18,8 40,6 74,14 66,50 48,100",
        "6,34 10,10 30,4 44,22 74,4* 54,54 44,100",
        "12,6 44,7 66,4* 50,52 42,100 | 10,60 44,54 86,50",
        "16,14 40,4 62,8 60,44 40,100 | 26,50 76,46",
    ),
    8: (
        "74,14 42,0 16,20 45,48 74,76 44,100 14,78 42,50 74,14",
        "80,12 46,0 20,22 48,48 68,78 40,100 12,80 42,52 70,28 86,6",
        "45,0 20,22 45,46 70,22 45,0 | 45,46 12,73 45,100 78,73 45,46",
        "62,10 38,0 22,18 42,44 60,76 38,100 20,80 40,48 62,10",
        "86,4 56,42 18,86 38,100 58,82 40,48 24,20 44,0 76,10",
        "70,8 34,2 20,24 46,40 64,60 44,100 20,76 46,44 70,8",
        "80,18 48,0 18,16 40,42 70,66 58,96 24,96 22,68 52,46 80,18",
        "70,4 34,2 14,24 42,48 56,76 36,100 20,78 46,48 84,22 70,4",
        "92,2 50,6 24,22 48,46 62,76 36,100 14,80 44,50 92,2",
        "62,14 44,0 30,14 44,34 76,66 48,100 12,74 44,34 62,14",
        "30,14 14,2 12,26 42,48 66,76 38,100 20,78 48,46 66,18 30,14",
    ),
    9: (
        "68,18 44,2 12,22 24,47 56,38 68,18 66,58 60,100",
        "68,16 42,0 10,24 26,48 58,38 68,16 66,60 48,94 14,92",
        "66,10 38,2 10,28 28,46 56,28 66,10* 50,54 34,100",
        "60,5 22,10 8,35 34,48 66,30 | 72,0 66,30 66,64 60,100",
        "72,10 32,0 5,30 30,57 64,40 72,10* 70,55 64,100",
        "76,6 36,4 12,28 30,48 72,36 | 76,6 72,36 68,68 60,100",
        "54,14 34,2 18,22 30,40 52,26 54,14* 50,56 44,100",
        "60,36 24,46 12,22 40,0 66,14 60,36 46,68 24,100",
        "64,12 36,0 14,22 34,42 62,26 64,12 60,56 44,90 12,100",
        "68,4 42,6 18,36 36,46 60,24 68,4* 52,52 40,100",
        "58,16 40,2 26,18 32,36 52,30 58,16* 58,60 54,100",
        "56,8 30,4 14,26 32,40 60,22 | 70,4 60,22 48,60 38,100",
        "74,4 34,10 6,36 26,50 62,26 74,4 58,54 30,96 6,100",
    ),
}

FRAME, BOX = 28, 20  # pixels a side
CHUNK = 500  # images drawn at once, about 40 MB
SPLITS = {"train": (0, 60_000), "test": (1, 10_000)}  # stream, images

_KNOTS = 10  # the most points a way to write has
_PLACES = 96  # along the ink, whose length in the box is 18 to some 80 pixels
_BENDS = 6
_PRESSES = 7
_BELL_PX = 0.75
# How many standard normal numbers a picture takes, and what for.
_LATENTS = {
    "jitter": 2 * _KNOTS,
    "bend": 2 * _BENDS,
    "place": 4,
    "pen": 4,
    "press": _PRESSES,
    "edge": BOX * BOX,
}


def split(
    name: Literal["train", "test"], *, seed: int = 0, limit: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 28, 28) and labels (n,): 60,000 or 10,000, every digit equally often, shuffled.

    `train` and `test` come from different random streams, whatever the seeds. `limit` draws the
    first images only, the same as without it.
    """
    number, count = SPLITS[name]
    stream = np.random.SeedSequence(seed, spawn_key=(number,))
    labels = np.random.default_rng(stream).permutation(np.arange(count) % 10)[:limit]
    return _draw(labels, stream), labels.astype(np.uint8)


def draw(labels: NDArray[np.integer], *, seed: int) -> NDArray[np.uint8]:
    """Draw labels (n,) in 0..9 as images (n, 28, 28), white ink (255) on black (0).

    Image i depends on `seed`, i and labels[i] only: each `CHUNK` of images has a random stream
    of its own, of which each image takes its row. Raises DataError.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not np.isin(labels, range(10)).all():
        raise DataError(
            f"Expected labels of shape (n,), integers 0 to 9, got {labels.dtype} {labels.shape} "
            f"with values {np.unique(labels)[:12]}; give one digit an image"
        )
    return _draw(labels.astype(np.intp), np.random.SeedSequence(seed))


def draw_ways(ways: Sequence[str], numbers: NDArray[np.integer], *, seed: int) -> NDArray[np.uint8]:
    """Draw `ways[numbers[i]]` as image i (n, 28, 28), as `draw` draws a digit.

    A way is a line like those of `STROKES`, of at most 10 points.
    """
    pens = _pens_of(tuple((way,) for way in ways))
    return _draw(numbers.astype(np.intp), np.random.SeedSequence(seed), pens)


def _draw(
    labels: NDArray[np.intp], stream: np.random.SeedSequence, pens: _Pens | None = None
) -> NDArray[np.uint8]:
    frames = np.empty((len(labels), FRAME, FRAME), np.uint8)
    starts = range(0, len(labels), CHUNK)
    for start, child in zip(starts, stream.spawn(len(starts)), strict=True):
        chunk = slice(start, start + CHUNK)
        frames[chunk] = frame(_ink(labels[chunk], child, pens or _pens()))
    return frames


class _Pens(NamedTuple):
    """Every way to write every digit, or whatever else there is to write: v in all."""

    knots: Floats  # (v, _KNOTS, 2): x, y in heights; those not needed are 0
    weights: Floats  # (v, _PLACES, _KNOTS): from knots to places along the ink
    down: Floats  # (v, _PLACES - 1): 0 where the pen is lifted between two places, else 1
    first: NDArray[np.intp]  # (10,): each digit's first way
    ways: NDArray[np.intp]  # (10,): how many it has


def _pens() -> _Pens:
    return _pens_of(tuple(STROKES[digit] for digit in range(10)))


@lru_cache(maxsize=4)
def _pens_of(alphabet: tuple[tuple[str, ...], ...]) -> _Pens:
    pens = [_pen(way) for ways in alphabet for way in ways]
    knots, weights, down = (np.stack(part) for part in zip(*pens, strict=True))
    counts = np.array([len(ways) for ways in alphabet])
    return _Pens(knots, weights, down, np.cumsum(counts) - counts, counts)


def _pen(way: str) -> tuple[Floats, Floats, Floats]:
    """The knots, weights and pen lifts of one line of `STROKES`, as in `_Pens`."""
    strokes = [_pieces(stroke) for stroke in way.split("|")]
    points = sorted({point for pieces in strokes for piece in pieces for point in piece})
    knots = np.zeros((_KNOTS, 2), np.float32)
    knots[: len(points)] = np.array(points) / 100
    unit = np.eye(_KNOTS, dtype=np.float32)
    spans: list[Floats] = []
    of_stroke: list[int] = []
    for number, pieces in enumerate(strokes):
        for piece in pieces:
            # The curve through rows of the identity is the matrix for any points.
            spans += _spans(unit[[points.index(point) for point in piece]])
            of_stroke += [number] * (len(piece) - 1)
    lengths = np.array([np.linalg.norm((span[2] - span[1]) @ knots) for span in spans])
    ends = np.cumsum(lengths)
    places = (np.arange(_PLACES) + 0.5) / _PLACES * ends[-1]
    at = np.searchsorted(ends, places)
    weights = _catmull_rom(np.stack(spans)[at], 1 - (ends[at] - places) / lengths[at])
    return knots, weights, (np.diff(np.array(of_stroke)[at]) == 0).astype(np.float32)


def _pieces(stroke: str) -> list[list[tuple[int, int]]]:
    """A stroke's points, cut at its corners."""
    pieces: list[list[tuple[int, int]]] = [[]]
    for token in stroke.split():
        x, y = token.rstrip("*").split(",")
        pieces[-1].append((int(x), int(y)))
        if token.endswith("*"):
            pieces.append(pieces[-1][-1:])
    return pieces


def _spans(piece: Floats) -> Iterator[Floats]:
    """For every two neighbours in (m, d): the four points (4, d) that shape the curve there."""
    closed = np.array_equal(piece[0], piece[-1])
    before = piece[-2] if closed else 2 * piece[0] - piece[1]
    after = piece[1] if closed else 2 * piece[-1] - piece[-2]
    padded = np.vstack([before, piece, after])
    return (padded[i : i + 4] for i in range(len(piece) - 1))


def _catmull_rom(span: Floats, t: NDArray[np.float64]) -> Floats:
    """The curve (s, d) between the middle two of four points (s, 4, d), at t in [0, 1]."""
    cubics = [2 * t**2 - t - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    curve: Floats = np.einsum("ks,skd->sd", 0.5 * np.array(cubics), span).astype(np.float32)
    return curve


def _ink(labels: NDArray[np.intp], stream: np.random.SeedSequence, pens: _Pens) -> Floats:
    """Ink (n, BOX, BOX) in [0, 1]."""
    normal, uniform = map(np.random.default_rng, stream.spawn(2))
    way = pens.first[labels] + (uniform.random(len(labels)) * pens.ways[labels]).astype(np.intp)
    latents = normal.standard_normal((len(labels), sum(_LATENTS.values())), np.float32)
    parts = np.split(latents, np.cumsum(list(_LATENTS.values()))[:-1], axis=1)
    z = dict(zip(_LATENTS, parts, strict=True))
    # Medians and spreads of radius, softness and roughness: those at which the stroke
    # thickness and the histogram of greys are MNIST's.
    radius_px = np.clip(1.22 * np.exp(0.25 * z["pen"][:, 0]), 0.7, 2.6)[:, None, None]
    soft_px = 1.35 * np.exp(0.15 * z["pen"][:, 1, None, None])
    rough_px = 0.10 * np.exp(0.3 * z["pen"][:, 2, None, None])
    nib = np.exp(0.1 * z["pen"][:, 3, None] * np.array([1, -1], np.float32))
    path = _path(pens.knots[way], pens.weights[way], z["jitter"], z["bend"], z["place"])
    # A fine pen's line must not vanish, so pressure grows with the radius.
    press = 0.33 * radius_px[:, 0] * z["press"]
    distance_px = _distance_px(_fit(path, radius_px), pens.down[way], nib, press)
    distance_px += rough_px * z["edge"].reshape(-1, BOX, BOX)
    level = np.clip((radius_px - distance_px) / soft_px + 0.5, 0, 1)
    ink: Floats = level * level * (3 - 2 * level)
    return ink


def _path(knots: Floats, weights: Floats, jitter: Floats, bend: Floats, place: Floats) -> Floats:
    """The pen's path (n, _PLACES, 2) as x, y, in heights about the digit's middle."""
    shaky = 0.033 * np.exp(0.3 * place[:, 3, None, None])
    knots = knots + shaky * jitter.reshape(-1, _KNOTS, 2)
    path = weights @ knots - np.array([0.4, 0.5], np.float32)
    x, y = 2 * path[..., 0], 2 * path[..., 1]
    waves = [0.5 * np.sin(np.pi * y), 0.5 * np.cos(np.pi * y), 0.5 * np.sin(np.pi * x)]
    fields = np.stack([x * x, x * y, y * y, *waves], axis=-1)
    placed: Floats = (path + fields @ (0.07 * bend.reshape(-1, _BENDS, 2))) @ _affine(place)
    return placed


def _affine(place: Floats) -> Floats:
    """Stretch, slant, then turn: matrices (n, 2, 2) for row vectors x, y.

    The slant's mean and spread are those of MNIST, whose digits lean to the right.
    """
    stretch, lean, turn = np.exp(0.15 * place[:, 0]), 0.12 + 0.25 * place[:, 1], 0.10 * place[:, 2]
    zero, one = np.zeros_like(turn), np.ones_like(turn)
    cos, sin = np.cos(turn), np.sin(turn)
    slant = np.stack([stretch, zero, -lean, one], axis=1).reshape(-1, 2, 2)
    affine: Floats = slant @ np.stack([cos, sin, -sin, cos], axis=1).reshape(-1, 2, 2)
    return affine


def _fit(path: Floats, radius_px: Floats) -> Floats:
    """The path in pixels of the box, so that its ink fills the longer side."""
    low, high = path.min(axis=1, keepdims=True), path.max(axis=1, keepdims=True)
    scale = (BOX - 2 * radius_px) / (high - low).max(axis=2, keepdims=True)
    fitted: Floats = (path - (low + high) / 2) * scale + (BOX - 1) / 2
    return fitted


def _distance_px(path: Floats, down: Floats, nib: Floats, press: Floats) -> Floats:
    """Distance (n, BOX, BOX) from each pixel's centre to the path.

    Along a straight path of points `gap` apart, Gaussians of width s sum to
    sqrt(2 pi) s / gap * exp(-d^2 / 2 s^2), from which the distance d follows. A point's factor
    e^p moves the ink's edge as pressure p would: d^2 falls by 2 p s^2.
    """
    steps = np.linalg.norm(np.diff(path, axis=1), axis=2)
    gap = (steps * down).sum(axis=1) / down.sum(axis=1)
    offsets = (np.arange(BOX, dtype=np.float32)[:, None] - path[:, :, None, :]) / _BELL_PX
    bells = np.exp(-0.5 * (offsets * nib[:, None, None, :]) ** 2)
    bells[..., 1] *= np.exp(_pressure(press))[:, :, None]
    total = np.matmul(bells[..., 1].swapaxes(1, 2), bells[..., 0])
    total *= (gap / (math.sqrt(2 * math.pi) * _BELL_PX))[:, None, None]
    distance: Floats = _BELL_PX * np.sqrt(np.maximum(-2 * np.log(total + 1e-12), 0))
    return distance


def _pressure(press: Floats) -> Floats:
    """Pressure (n, _PLACES) that goes straight from each of (n, _PRESSES) values to the next."""
    at = np.linspace(0, _PRESSES - 1, _PLACES, dtype=np.float32)
    left = np.minimum(at.astype(np.intp), _PRESSES - 2)
    share = at - left.astype(np.float32)
    pressure: Floats = press[:, left] * (1 - share) + press[:, left + 1] * share
    return pressure


def frame(ink: Floats) -> NDArray[np.uint8]:
    """Boxes (n, BOX, BOX) in [0, 1] to images (n, FRAME, FRAME), centre of mass in the middle."""
    at = np.arange(BOX, dtype=np.float32)
    mass = ink.sum(axis=(1, 2))
    # Pixel FRAME / 2, counted from 0, is where MNIST's centres of mass lie.
    top, left = (
        np.clip(np.rint(FRAME / 2 - (ink.sum(axis=axis) * at).sum(axis=1) / mass), 0, FRAME - BOX)
        for axis in (2, 1)
    )
    rows, columns = (start[:, None].astype(np.intp) + np.arange(BOX) for start in (top, left))
    frames = np.zeros((len(ink), FRAME, FRAME), np.uint8)
    which = np.arange(len(ink))[:, None, None]
    frames[which, rows[:, :, None], columns[:, None, :]] = np.rint(255 * ink).astype(np.uint8)
    return frames
