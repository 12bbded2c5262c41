"""Split digits that touch: one candidate in, its pieces from left to right out.

The candidate is cut too often, a model reads every piece, and the segmentation with the highest
product of confidences is chosen, as for postcodes in Burges et al. 1992, "Shortest Path
Segmentation: A Method for Training a Neural Network to Recognize Character Strings". Constants
without another source were tuned on drawn photographs of seed 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import itemgetter

import numpy as np

from .arrays import Floats, Ints
from .foreground import FOREGROUND_LEVEL, bounding_box
from .localization import Candidate
from .normalization import stroke_width

# A cut crosses at most this much foreground, in stroke widths. Cuts are at least this share of the
# height apart, and there are at most so many.
_MAX_CROSSED, _MIN_DISTANCE, _MAX_CUTS = 2.0, 0.1, 12
# Width / height of a digit: of MNIST's 60,000 training images none is narrower and 1.3 % are
# wider. A piece has at least this share of the whole's height.
_MIN_ASPECT, _MAX_ASPECT, _MIN_HEIGHT = 0.06, 1.35, 0.6
# Width / height. A wider candidate (10 % of MNIST's images) is split whatever its confidence. A
# candidate narrower than the second is never split, as a 0 would fall into halves.
_WIDE_ASPECT, _MIN_SPLIT_ASPECT = 1.05, 0.8
# Lowest factor for the aspect of a piece, and lowest probability of a piece: its logarithm is
# finite.
_MIN_PRIOR, _MIN_PROBABILITY = 0.2, 1e-3
# Foreground that a step aside costs, so that cuts are straight on bare paper.
_STEP_ASIDE = 0.02


def is_wide(candidate: Candidate) -> bool:
    """Whether a candidate is so wide that it is probably two digits."""
    height, width = candidate.foreground.shape
    return bool(width > _WIDE_ASPECT * height)


def may_be_two(candidate: Candidate) -> bool:
    """Whether a candidate is wide enough for two digits."""
    height, width = candidate.foreground.shape
    return bool(width > _MIN_SPLIT_ASPECT * height)


def split(candidate: Candidate, confidence: Callable[[Candidate], float]) -> list[Candidate]:
    """Return the pieces of the best segmentation, or the candidate alone if that has only one.

    Args:
        candidate: one digit or several that touch.
        confidence: the model's confidence in a piece, in [0, 1].
    """
    lines = _cut_lines(candidate.foreground)
    # For each line: log-probability and pieces of the best segmentation to the left of it.
    best: list[tuple[float, list[Candidate]]] = [(0.0, [])]
    for end in range(1, len(lines)):
        segmentations: list[tuple[float, list[Candidate]]] = [(-math.inf, [])]
        for start, (score, pieces) in enumerate(best):
            piece = _crop_between(candidate, lines[start], lines[end])
            if piece is not None and score > -math.inf:
                probability = max(_aspect_prior(piece) * confidence(piece), _MIN_PROBABILITY)
                segmentations.append((score + math.log(probability), [*pieces, piece]))
        best.append(max(segmentations, key=itemgetter(0)))
    pieces = best[-1][1]
    return pieces if len(pieces) > 1 else [candidate]


def _aspect_prior(piece: Candidate) -> float:
    """Return a factor in [0, 1]: lower for a piece that is wide for one digit."""
    height, width = piece.foreground.shape
    return float(np.interp(width / height, (_WIDE_ASPECT, _MAX_ASPECT), (1, _MIN_PRIOR)))


def _cut_lines(foreground: Floats) -> list[Ints]:
    """Return lines from left to right, both edges included: (h,), the column of each row."""
    height, width = foreground.shape
    costs, came_from = _cheapest_seams(foreground)
    max_cost, distance = _MAX_CROSSED * stroke_width(foreground), _MIN_DISTANCE * height
    cuts: list[tuple[float, Ints]] = []
    for end in np.argsort(costs, kind="stable"):
        if costs[end] > max_cost or len(cuts) == _MAX_CUTS:
            break
        line = _trace(came_from, int(end))
        middle = float(line.mean())
        others = (0.0, float(width), *(other for other, _ in cuts))
        if all(abs(middle - other) >= distance for other in others):
            cuts.append((middle, line))
    inner = [line for _, line in sorted(cuts, key=itemgetter(0))]
    return [np.zeros(height, np.intp), *inner, np.full(height, width, np.intp)]


def _cheapest_seams(foreground: Floats) -> tuple[Floats, Ints]:
    """Return the foreground crossed by the cheapest seam to each column (w,), and its steps (h, w).

    A seam runs from top to bottom and moves by at most one column a row (Avidan and Shamir 2007).
    """
    costs = foreground[0].copy()
    came_from = np.zeros(foreground.shape, np.intp)
    columns = np.arange(foreground.shape[1])
    for row in range(1, len(foreground)):
        padded = np.pad(costs, 1, constant_values=np.inf)
        steps = np.stack([padded[1:-1], padded[:-2] + _STEP_ASIDE, padded[2:] + _STEP_ASIDE])
        choice = steps.argmin(axis=0)
        came_from[row] = columns + np.array([0, -1, 1])[choice]
        costs = steps[choice, columns] + foreground[row]
    return costs, came_from


def _trace(came_from: Ints, end: int) -> Ints:
    """Return the columns (h,) of the seam that ends in a column of the last row."""
    line = np.empty(len(came_from), np.intp)
    for row in range(len(came_from) - 1, -1, -1):
        line[row] = end
        end = int(came_from[row, end])
    return line


def _crop_between(candidate: Candidate, left: Ints, right: Ints) -> Candidate | None:
    """Return the piece between two lines; None if no digit has such a shape."""
    height, width = candidate.foreground.shape
    columns = np.arange(width)
    inside = (columns >= left[:, np.newaxis]) & (columns < right[:, np.newaxis])
    foreground = np.where(inside, candidate.foreground, np.float32(0))
    if not (foreground > FOREGROUND_LEVEL).any():
        return None
    x0, y0, x1, y1 = bounding_box(foreground)
    if not _MIN_ASPECT * height < x1 - x0 < _MAX_ASPECT * height or y1 - y0 < _MIN_HEIGHT * height:
        return None
    x, y = candidate.box[:2]
    scale = (candidate.box[2] - x) / width
    box = (x + scale * x0, y + scale * y0, x + scale * x1, y + scale * y1)
    return Candidate(foreground[y0:y1, x0:x1], box)
