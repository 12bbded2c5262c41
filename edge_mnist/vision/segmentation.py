"""Split digits that touch: one candidate in, its pieces from left to right out.

The candidate is cut too often, a model reads every piece, and the segmentation with the highest
product of confidences is chosen, as for postcodes in Burges et al. 1992, "Shortest Path
Segmentation: A Method for Training a Neural Network to Recognize Character Strings".
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

# Stroke widths that a cut crosses; share of the height between two cuts; number of cuts.
_MAX_CROSSED, _MIN_DISTANCE, _MAX_CUTS = 2.0, 0.1, 12
# Width / height of a digit: of MNIST's 60,000 training images none is narrower and 1.3 % are
# wider. A piece has at least this share of the whole's height.
_MIN_ASPECT, _MAX_ASPECT, _MIN_HEIGHT = 0.06, 1.35, 0.6
# Width / height. A wider candidate (10 % of MNIST's images) is split whatever its confidence. A
# candidate narrower than the second is never split, as a 0 would fall into halves.
_WIDE_ASPECT, _MIN_SPLIT_ASPECT = 1.05, 0.8
# Factor for the widest piece; probability of the worst one, above 0 for its logarithm.
_MIN_PRIOR, _MIN_PROBABILITY = 0.2, 1e-3
# Confidences: with more, a candidate that is not wide is one digit; with less, a piece is none.
_SURE, _LIKELY = 0.9, 0.7
# Foreground that a step aside costs, so that cuts are straight on bare paper.
_STEP_ASIDE = 0.02


def split_touching(
    candidate: Candidate, confidence: Callable[[Candidate], float]
) -> list[Candidate]:
    """Return the pieces of several digits that touch, or the candidate itself if it is one digit.

    Args:
        confidence: the model's confidence in a candidate or piece, in [0, 1].
    """
    if candidate.aspect <= _MIN_SPLIT_ASPECT:
        return [candidate]
    whole = confidence(candidate)
    if whole > _SURE and candidate.aspect <= _WIDE_ASPECT:
        return [candidate]
    pieces = _best_segmentation(candidate, confidence)
    # Pieces of one digit can look like digits by chance, so each must be read with more confidence.
    least = max(whole, _LIKELY)
    touching = len(pieces) > 1 and all(confidence(piece) > least for piece in pieces)
    return pieces if touching else [candidate]


def _best_segmentation(
    candidate: Candidate, confidence: Callable[[Candidate], float]
) -> list[Candidate]:
    """Return the pieces whose product of confidences is highest; none if no piece is possible."""
    lines = _cut_lines(candidate.foreground)
    # For each line: log-probability and pieces of the best segmentation to the left of it.
    best: list[tuple[float, list[Candidate]]] = [(0.0, [])]
    for end in range(1, len(lines)):
        segmentations: list[tuple[float, list[Candidate]]] = [(-math.inf, [])]
        for start, (score, pieces) in enumerate(best):
            piece = _crop_between(candidate, lines[start], lines[end])
            if piece is not None and score > -math.inf:
                # A piece that is wide for one digit is less probable.
                prior = np.interp(piece.aspect, (_WIDE_ASPECT, _MAX_ASPECT), (1, _MIN_PRIOR))
                probability = max(float(prior) * confidence(piece), _MIN_PROBABILITY)
                segmentations.append((score + math.log(probability), [*pieces, piece]))
        best.append(max(segmentations, key=itemgetter(0)))
    return best[-1][1]


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
