"""The path of a pen: descriptions of glyphs in; randomly distorted paths out, as points x, y.

The path is a Catmull-Rom spline, which is linear in its control points. A glyph's spline is
therefore one matrix, and a product of matrices gives the paths of many glyphs at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

MAX_POINTS = 10  # per glyph
SAMPLES = 96  # points per path; a path in MNIST's box of 20 × 20 is 18 to 80 pixels long
# Standard normal numbers that `distort` takes per path.
JITTER, BEND, PLACEMENT = 2 * MAX_POINTS, 12, 4


def _read_glyphs() -> tuple[tuple[str, ...], ...]:
    lines = Path(__file__).with_name("glyphs.txt").read_text(encoding="utf-8").splitlines()
    return tuple(
        tuple(line.partition(": ")[2] for line in lines if line.startswith(f"{digit}:"))
        for digit in range(10)
    )


# For each digit, the descriptions of its glyphs, from glyphs.txt.
DIGIT_GLYPHS = _read_glyphs()


class Glyphs(NamedTuple):
    """g glyphs: `weights @ points` are samples along their paths.

    Attributes:
        points: (g, MAX_POINTS, 2), control points x, y in heights of the glyph, padded with 0.
        weights: (g, SAMPLES, MAX_POINTS), from control points to equally spaced samples.
        pen_down: (g, SAMPLES - 1), 0 where the pen is lifted between two samples, else 1.
    """

    points: Floats
    weights: Floats
    pen_down: Floats

    def take(self, indices: NDArray[np.intp]) -> Glyphs:
        """Return the glyphs (n,) at `indices` (n,)."""
        return Glyphs(*(part[indices] for part in self))


@lru_cache(maxsize=4)
def parse_glyphs(descriptions: tuple[str, ...]) -> Glyphs:
    """Parse descriptions of glyphs as in glyphs.txt, each of at most MAX_POINTS points."""
    parts = zip(*map(_parse_glyph, descriptions), strict=True)
    return Glyphs(*(np.stack(part) for part in parts))


def _parse_glyph(description: str) -> tuple[Floats, Floats, Floats]:
    """Return the points, weights and pen lifts of one glyph, as in `Glyphs`."""
    strokes = [_pieces(stroke) for stroke in description.split("|")]
    distinct = sorted({point for pieces in strokes for piece in pieces for point in piece})
    points = np.zeros((MAX_POINTS, 2), np.float32)
    points[: len(distinct)] = np.array(distinct) / 100
    unit = np.eye(MAX_POINTS, dtype=np.float32)
    spans: list[Floats] = []
    stroke_of_span: list[int] = []
    for number, pieces in enumerate(strokes):
        for piece in pieces:
            # The spline through rows of the identity is the matrix for any control points.
            spans += _spans(unit[[distinct.index(point) for point in piece]])
            stroke_of_span += [number] * (len(piece) - 1)
    lengths = np.array([np.linalg.norm((span[2] - span[1]) @ points) for span in spans])
    ends = np.cumsum(lengths)
    samples = (np.arange(SAMPLES) + 0.5) / SAMPLES * ends[-1]
    at = np.searchsorted(ends, samples)
    weights = _catmull_rom(np.stack(spans)[at], 1 - (ends[at] - samples) / lengths[at])
    return points, weights, (np.diff(np.array(stroke_of_span)[at]) == 0).astype(np.float32)


def _pieces(stroke: str) -> list[list[tuple[int, int]]]:
    """Split a stroke's points at its corners. A corner belongs to both pieces."""
    pieces: list[list[tuple[int, int]]] = [[]]
    for token in stroke.split():
        x, y = token.rstrip("*").split(",")
        pieces[-1].append((int(x), int(y)))
        if token.endswith("*"):
            pieces.append(pieces[-1][-1:])
    return pieces


def _spans(piece: Floats) -> Iterator[Floats]:
    """Yield, for every two neighbours in (m, d), the four points (4, d) that shape the spline."""
    closed = np.array_equal(piece[0], piece[-1])
    before = piece[-2] if closed else 2 * piece[0] - piece[1]
    after = piece[1] if closed else 2 * piece[-1] - piece[-2]
    padded = np.vstack([before, piece, after])
    return (padded[i : i + 4] for i in range(len(piece) - 1))


def _catmull_rom(span: Floats, t: NDArray[np.float64]) -> Floats:
    """Return the spline (s, d) between the middle two of four points (s, 4, d), t in [0, 1]."""
    cubics = [2 * t**2 - t - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    curve: Floats = np.einsum("ks,skd->sd", 0.5 * np.array(cubics), span).astype(np.float32)
    return curve


def distort(glyphs: Glyphs, jitter: Floats, bend: Floats, placement: Floats) -> Floats:
    """Return one distorted path per glyph. All random numbers are standard normal.

    Args:
        glyphs: n glyphs.
        jitter: (n, JITTER) moves the control points.
        bend: (n, BEND) bends the path by quadratic and sine fields.
        placement: (n, PLACEMENT): stretch, slant, rotation, and the amount of jitter.

    Returns:
        (n, SAMPLES, 2), x and y in heights of the digit, about its middle.
    """
    amount = 0.033 * np.exp(0.3 * placement[:, 3, None, None])
    points = glyphs.points + amount * jitter.reshape(-1, MAX_POINTS, 2)
    path = glyphs.weights @ points - np.array([0.4, 0.5], np.float32)
    x, y = 2 * path[..., 0], 2 * path[..., 1]
    waves = [0.5 * np.sin(np.pi * y), 0.5 * np.cos(np.pi * y), 0.5 * np.sin(np.pi * x)]
    fields = np.stack([x * x, x * y, y * y, *waves], axis=-1)
    bent = path + fields @ (0.07 * bend.reshape(-1, BEND // 2, 2))
    distorted: Floats = bent @ _affine(placement)
    return distorted


def _affine(placement: Floats) -> Floats:
    """Return matrices (n, 2, 2) for row vectors x, y that stretch, slant, then rotate.

    Slant has the mean and spread of MNIST's training images, whose digits lean to the right.
    """
    stretch, slant = np.exp(0.15 * placement[:, 0]), 0.12 + 0.25 * placement[:, 1]
    angle = 0.10 * placement[:, 2]
    zero, one = np.zeros_like(angle), np.ones_like(angle)
    cos, sin = np.cos(angle), np.sin(angle)
    shear = np.stack([stretch, zero, -slant, one], axis=1).reshape(-1, 2, 2)
    affine: Floats = shear @ np.stack([cos, sin, -sin, cos], axis=1).reshape(-1, 2, 2)
    return affine
