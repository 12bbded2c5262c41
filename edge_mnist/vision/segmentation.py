"""Digits that touch: where they may come apart, and which pieces a model reads best.

Cut too often, read every piece, keep the cuts whose pieces are read with most confidence: how
postcodes have been read since Burges et al. 1992, "Shortest Path Segmentation: A Method for
Training a Neural Network to Recognize Character Strings".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .foreground import INKED, extent
from .localization import Candidate
from .normalization import stroke_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .foreground import Floats

    Ints: TypeAlias = NDArray[np.intp]

# A cut goes through less ink than so many strokes are wide, and cuts are so far apart, in shares
# of the height.
_MOST_INK, _BETWEEN, _MOST_CUTS = 2.0, 0.1, 12
# A digit's width in shares of its height: of MNIST's 60,000 training images 1.3 % are wider, none
# is narrower. Nor is a piece lower than this share of the whole.
_NARROW, _WIDE, _LOW = 0.06, 1.35, 0.6
# From this width on, cuts are tried however surely the whole is read, as a tenth of MNIST's images
# would be; below the least none are, as a 0 would fall into halves.
_DOUBTED, _LEAST = 1.05, 0.8


def is_wide(found: Candidate) -> bool:
    """Whether it is so wide that two digits have to be looked for."""
    height, width = found.ink.shape
    return bool(width > _DOUBTED * height)


def may_be_two(found: Candidate) -> bool:
    """Whether two digits may be as narrow."""
    height, width = found.ink.shape
    return bool(width > _LEAST * height)


def split(found: Candidate, confidence: Callable[[Candidate], float]) -> list[Candidate]:
    """Return the pieces, left to right, that are read best: several, or what was found itself.

    `confidence` is the model's, in [0, 1], of a piece; a way's is the product of its pieces'.
    """
    lines = _lines(found.ink)
    best: list[tuple[float, list[Candidate]]] = [(0.0, [])]
    for end in range(1, len(lines)):
        ways = [(-math.inf, best[0][1])]
        for start in range(end):
            piece = _between(found, lines[start], lines[end])
            if piece is not None and best[start][0] > -math.inf:
                score = best[start][0] + math.log(max(_usual(piece) * confidence(piece), 1e-3))
                ways.append((score, [*best[start][1], piece]))
        best.append(max(ways, key=lambda way: way[0]))
    return best[-1][1] if len(best[-1][1]) > 1 else [found]


def _usual(piece: Candidate) -> float:
    """How far a shape so wide is one digit: 1, or from `_DOUBTED` to `_WIDE` down to 0.2."""
    height, width = piece.ink.shape
    return float(np.interp(width / height, (_DOUBTED, _WIDE), (1, 0.2)))


def _lines(ink: Floats) -> list[Ints]:
    """Return lines from top to bottom, each the column of every row: both edges, cuts between."""
    height, width = ink.shape
    costs, came_from = _seams(ink)
    apart = _BETWEEN * height
    cuts: list[tuple[float, Ints]] = []
    for end in np.argsort(costs, kind="stable"):
        if costs[end] > _MOST_INK * stroke_width(ink) or len(cuts) == _MOST_CUTS:
            break
        line = _trace(came_from, int(end))
        middle = float(line.mean())
        others = (0.0, float(width), *(other for other, _ in cuts))
        if all(abs(middle - other) >= apart for other in others):
            cuts.append((middle, line))
    inner = [line for _, line in sorted(cuts, key=lambda cut: cut[0])]
    return [np.zeros(height, np.intp), *inner, np.full(height, width, np.intp)]


def _seams(ink: Floats) -> tuple[Floats, Ints]:
    """Return the ink (w,) on the best line down to each column, and the way it came (h, w).

    A line moves by a column a row at most (seams: Avidan and Shamir 2007).
    """
    total = ink[0].copy()
    came_from = np.zeros(ink.shape, np.intp)
    columns = np.arange(ink.shape[1])
    for row in range(1, len(ink)):
        padded = np.pad(total, 1, constant_values=np.inf)
        # Straight down first; going aside costs a little, so that lines are straight on paper.
        steps = np.stack([padded[1:-1], padded[:-2] + 0.02, padded[2:] + 0.02])
        choice = steps.argmin(axis=0)
        came_from[row] = columns + np.array([0, -1, 1])[choice]
        total = steps[choice, columns] + ink[row]
    return total, came_from


def _trace(came_from: Ints, end: int) -> Ints:
    line = np.empty(len(came_from), np.intp)
    for row in range(len(came_from) - 1, -1, -1):
        line[row] = end
        end = int(came_from[row, end])
    return line


def _between(found: Candidate, left: Ints, right: Ints) -> Candidate | None:
    """Return the ink between two lines, cut out; None where no digit has such a shape."""
    columns = np.arange(found.ink.shape[1])
    inside = (columns >= left[:, np.newaxis]) & (columns < right[:, np.newaxis])
    ink = np.where(inside, found.ink, np.float32(0))
    if not (ink > INKED).any():
        return None
    x0, y0, x1, y1 = extent(ink)
    height, width = found.ink.shape
    if not _NARROW * height < x1 - x0 < _WIDE * height or y1 - y0 < _LOW * height:
        return None
    step = (found.box[2] - found.box[0]) / width
    x, y = found.box[:2]
    box = (x + step * x0, y + step * y0, x + step * x1, y + step * y1)
    return Candidate(ink[y0:y1, x0:x1], box)
