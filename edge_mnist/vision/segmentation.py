"""Split digits that touch: one candidate in, its pieces from left to right out.

The candidate is cut too often, along seams that cross little foreground. A model reads every piece
between two cuts, and dynamic programming finds the segmentation of the highest score, as for
postcodes in Burges et al. 1992, "Shortest Path Segmentation: A Method for Training a Neural Network
to Recognize Character Strings". The score is linear. Its weights maximize the likelihood of the
right segmentations of 1,440 touching pairs and 1,410 single digits, which count tenfold, of MNIST's
validation images (`edge_mnist_export.data.composed_digits`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from .arrays import Floats, Grey, Ints
from .foreground import FOREGROUND_LEVEL, bounding_box
from .localization import Candidate
from .normalization import fill_boxes, normalize_stroke_width, stroke_width

# The probabilities (n, 10) that a model gives to MNIST images (n, 28, 28).
Read = Callable[[Grey], Floats]

# Pixels: height of the strokes while their width is changed, and while they are cut.
_STROKE_SIDE, _HEIGHT = 100, 40
# Width / height, confidence: a narrower candidate, and one that is read more surely and is narrower
# than the third, is one digit. Of touching pairs that loses 0.3 %; 86 % of MNIST's digits are left.
_MIN_ASPECT, _SURE, _WIDE_ASPECT = 0.55, 0.98, 1.05
# Foreground that a step aside costs; stroke widths that a cut crosses; number of cuts; foreground
# between two cuts as a share of a stroke as long as the candidate is high.
_STEP_ASIDE, _MAX_CROSSED, _MAX_CUTS, _MIN_BETWEEN = 0.05, 3.0, 14, 0.06
# Width / height of a piece; its height as a share of the candidate's.
_PIECE_ASPECTS, _MIN_PIECE_HEIGHT = (0.06, 1.6), 0.45

# Weights of a cut: of itself, of each stroke width that it crosses, of each stroke after the first,
# of a step aside in every row.
_CUT, _CROSSED, _STROKES, _ASIDE = -0.57, -0.67, -0.71, -1.37
# Weights of a piece: of its log-probability, of one that is at least _SURE, of the square of the
# share of height that it lacks, of the aspect above 1.1.
_LOG_PROBABILITY, _SURE_PIECE, _LOW, _TOO_WIDE = 2.08, 2.23, -18.1, -3.0
# Weights of a piece by its digit: parts of digits look like a 1 or a 3, rarely like a 9.
_DIGITS = np.array([0.44, -0.83, -0.57, -0.98, 0.21, 0.07, -0.71, 0.01, 0.91, 1.83])


class _Cuts(NamedTuple):
    """Cuts from left to right, both edges included."""

    lines: Ints  # (n, h), the column of each row
    scores: Floats  # (n,), of the cut itself; 0 for the edges


def may_touch(candidate: Candidate, confidence: float) -> bool:
    """Whether a candidate that the model reads with this confidence can be several digits."""
    if candidate.aspect < _MIN_ASPECT:
        return False
    return candidate.aspect > _WIDE_ASPECT or confidence < _SURE


class Piece(NamedTuple):
    """A part of a candidate, and it as an MNIST image."""

    candidate: Candidate
    image: Grey


def split_touching(candidate: Candidate, read: Read) -> list[Piece]:
    """Return the pieces of several digits that touch; none if the candidate is one digit.

    Args:
        read: the model; it is called once.
    """
    strokes, margin = _scale_strokes(candidate.foreground)
    cuts = _find_cuts(strokes)
    scores, images = _score_pieces(strokes, cuts, read)
    # The score of the best segmentation to the left of each cut, and its last cut.
    best, previous = np.full(len(cuts.lines), -np.inf), np.zeros(len(cuts.lines), np.intp)
    best[0] = 0
    for end in range(1, len(best)):
        totals = best[:end] + scores[:end, end]
        previous[end] = totals.argmax()
        best[end] = totals[previous[end]] + cuts.scores[end]
    ends = [len(best) - 1]
    while ends[0]:
        ends.insert(0, int(previous[ends[0]]))
    if len(ends) == 2:
        return []
    lines = _scale_lines(cuts.lines[ends], strokes.shape, candidate.foreground.shape, margin)
    return [
        Piece(_crop(candidate, *lines[number : number + 2]), images[places])
        for number, places in enumerate(itertools.pairwise(ends))
    ]


def _scale_strokes(foreground: Floats) -> tuple[Floats, int]:
    """Return strokes as wide as MNIST's, (_HEIGHT, w), and the margin added at _STROKE_SIDE."""
    height, width = foreground.shape
    size = (max(1, round(width * _STROKE_SIDE / height)), _STROKE_SIDE)
    pixels = np.rint(foreground * 255).astype(np.uint8)
    large = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    changed = normalize_stroke_width(large, _STROKE_SIDE)
    margin = (len(changed) - len(large)) // 2
    size = (max(1, round(changed.shape[1] * _HEIGHT / len(changed))), _HEIGHT)
    strokes = Image.fromarray(changed.astype(np.float32) / np.float32(255))
    return np.asarray(strokes.resize(size, Image.Resampling.BOX)), margin


def _scale_lines(lines: Ints, shape: tuple[int, ...], target: tuple[int, ...], margin: int) -> Ints:
    """Return lines in strokes of `shape` as lines (n, height) in a foreground of `target`."""
    height, width = target
    whole = _STROKE_SIDE + 2 * margin
    rows = (np.arange(height) * _STROKE_SIDE / height + margin) * len(lines[0]) / whole
    columns = lines[:, np.minimum(rows.astype(np.intp), len(lines[0]) - 1)]
    scaled = np.rint((columns * whole / shape[0] - margin) * height / _STROKE_SIDE).astype(np.intp)
    scaled[0], scaled[-1] = 0, width
    return np.clip(scaled, 0, width)


def _find_cuts(strokes: Floats) -> _Cuts:
    """Return the cheapest seams that have enough foreground between each other."""
    height, width = strokes.shape
    costs, seams = _cheapest_seams(strokes)
    stroke, rows = stroke_width(strokes), np.arange(height)
    before = np.pad(np.cumsum(strokes, axis=1), ((0, 0), (1, 0)))
    left = before[rows, seams].sum(axis=1)
    least = _MIN_BETWEEN * height * stroke
    taken = [0.0, float(strokes.sum())]
    chosen: list[int] = []
    for column in np.argsort(costs, kind="stable").tolist():
        if costs[column] > _MAX_CROSSED * stroke or len(chosen) == _MAX_CUTS:
            break
        if all(abs(left[column] - other) >= least for other in taken):
            chosen.append(column)
            taken.append(float(left[column]))
    chosen.sort()
    lines = seams[chosen]
    on_line = strokes[rows, lines]
    crossed = on_line.sum(axis=1)
    inside = np.pad(on_line > FOREGROUND_LEVEL, ((0, 0), (1, 0)))
    starts = (inside[:, 1:] & ~inside[:, :-1]).sum(axis=1)
    scores = _CUT + _CROSSED * crossed / stroke + _STROKES * np.maximum(starts - 1, 0)
    scores += _ASIDE * (costs[chosen] - crossed) / _STEP_ASIDE / height
    edges = np.zeros((1, height), np.intp), np.full((1, height), width, np.intp)
    return _Cuts(np.concatenate([edges[0], lines, edges[1]]), np.pad(scores, 1))


def _cheapest_seams(strokes: Floats) -> tuple[Floats, Ints]:
    """Return, for each column of the middle row, the cost of the cheapest seam (w,) and it (w, h).

    A seam runs from top to bottom and moves by at most one column a row (Avidan and Shamir 2007).
    """
    height, width = strokes.shape
    middle, columns = height // 2, np.arange(width)
    seams = np.empty((height, width), np.intp)
    costs = -strokes[middle]  # counted in both halves
    for half in (range(middle + 1), range(height - 1, middle - 1, -1)):
        padded = np.full(width + 2, np.inf, np.float32)
        steps = np.empty((3, width), np.float32)
        moves = []
        reached = strokes[half[0]]
        for row in half[1:]:
            padded[1:-1] = reached
            steps[0] = reached
            np.add(padded[:-2], _STEP_ASIDE, out=steps[1])
            np.add(padded[2:], _STEP_ASIDE, out=steps[2])
            choice = steps.argmin(axis=0)
            moves.append(columns + np.array([0, -1, 1])[choice])
            reached = steps[choice, columns] + strokes[row]
        costs = costs + reached
        seams[middle] = columns
        for row, move in zip(half[-2::-1], moves[::-1], strict=True):
            toward = row + (1 if row < middle else -1)
            seams[row] = move[seams[toward]]
    return costs, np.ascontiguousarray(seams.T)


def _score_pieces(
    strokes: Floats, cuts: _Cuts, read: Read
) -> tuple[Floats, dict[tuple[int, int], Grey]]:
    """Return the score of each piece by its two cuts, (n, n), and its image.

    The score is -inf if no digit has its shape.
    """
    count, height = len(cuts.lines), len(strokes)
    # For each pixel, the number of cuts to its left or on it.
    cut = (np.arange(strokes.shape[1]) >= cuts.lines[:, :, np.newaxis]).sum(axis=0) - 1
    starts, ends = np.triu_indices(count, 1)
    boxes = _bounding_boxes(strokes, cut, starts, ends)
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).T
    shares = heights / height
    fits = (widths > _PIECE_ASPECTS[0] * height) & (widths < _PIECE_ASPECTS[1] * height)
    is_whole = ends - starts == count - 1
    kept = fits & (shares > _MIN_PIECE_HEIGHT) | is_whole
    starts, ends, boxes, shares = starts[kept], ends[kept], boxes[kept], shares[kept]
    pieces = strokes * ((cut >= starts[:, None, None]) & (cut < ends[:, None, None]))
    images = fill_boxes(pieces, boxes)
    probabilities = read(images)
    digits, likeliest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    values = _LOG_PROBABILITY * np.log(np.maximum(likeliest, 0.01))
    values += _SURE_PIECE * (likeliest >= _SURE) + _LOW * (1 - shares) ** 2
    values += _TOO_WIDE * np.maximum((widths / heights)[kept] - 1.1, 0)
    values += _DIGITS[digits] * ~is_whole[kept]
    scores = np.full((count, count), -np.inf)
    scores[starts, ends] = values
    places = zip(starts.tolist(), ends.tolist(), strict=True)
    return scores, dict(zip(places, images, strict=True))


def _bounding_boxes(strokes: Floats, cut: Ints, starts: Ints, ends: Ints) -> Ints:
    """Return left, top, right, bottom of the pieces between two cuts, (n, 4); 0 wide if empty."""
    rows, columns = np.nonzero(strokes > FOREGROUND_LEVEL)
    order = np.argsort(cut[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    # Pixels in the order of the pieces between neighbouring cuts, which are few.
    firsts = np.searchsorted(cut[rows, columns], np.arange(cut.max() + 2))
    boxes = np.empty((len(firsts) - 1, 4), np.intp)
    for number, (first, last) in enumerate(itertools.pairwise(firsts.tolist())):
        x, y = columns[first:last], rows[first:last]
        empty = first == last
        boxes[number] = (
            (10**6, 10**6, 0, 0) if empty else (x.min(), y.min(), x.max() + 1, y.max() + 1)
        )
    merged = [
        (*boxes[start:end, :2].min(axis=0), *boxes[start:end, 2:].max(axis=0))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    result = np.array(merged)
    result[result[:, 2] == 0] = 0
    return result


def _crop(candidate: Candidate, left: Ints, right: Ints) -> Candidate:
    """Return the piece of a candidate between two lines (h,)."""
    columns = np.arange(candidate.foreground.shape[1])
    inside = (columns >= left[:, np.newaxis]) & (columns < right[:, np.newaxis])
    foreground = np.where(inside, candidate.foreground, np.float32(0))
    x0, y0, x1, y1 = bounding_box(foreground)
    x, y = candidate.box[:2]
    scale = (candidate.box[2] - x) / len(columns)
    box = (x + scale * x0, y + scale * y0, x + scale * x1, y + scale * y1)
    return Candidate(foreground[y0:y1, x0:x1], box)
