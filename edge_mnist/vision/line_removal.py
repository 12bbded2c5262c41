"""Find the ruled lines and squares of paper, so that strokes which cross them stay whole.

A Hough transform (Hough 1962) of nearly horizontal lines; the transposed picture for vertical
ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats, Mask
from .foreground import dilate_mask

# Slopes of the lines: up to 8 degrees from the axis, in steps of half a degree.
_SLOPES = np.tan(np.deg2rad(np.arange(-8, 8.01, 0.5)))
# Degrees: angles of a form's lines, searched coarsely, then about the best one.
_COARSE_ANGLES, _FINE_ANGLES = np.arange(-5, 5.01, 0.5), np.arange(-0.4, 0.41, 0.1)
# Columns: only every third one votes, which is enough for a line.
_COLUMN_STEP = 3
# Shares of the width that a line covers, if there are several lines, and if it is the only one.
# A single one must be longer, as a digit's stroke can be long, too.
_MIN_COVER, _MIN_COVER_ALONE = 0.5, 0.85
# A line is thinner than this share of the picture's longer side.
_MAX_THICKNESS = 0.03
# Pixels: lines are at least this far apart.
_MIN_DISTANCE = 4
# A stroke's response is at least this many times that of the line it crosses.
_STROKE_TO_LINE = 1.5
# Pixels: parts of a line this near to a stroke are kept, as the stroke runs through them.
_KEPT_RADIUS = 2


class _Line(NamedTuple):
    angle: int  # index into _SLOPES
    row: int  # at the middle column
    half: int  # half the thickness, in pixels


def find_ruled_lines(mask: Mask, response: Floats) -> Mask:
    """Return the pixels of ruled lines in a mask, both (h, w), without strokes that cross them."""
    lines = _horizontal_lines(mask, response) | _horizontal_lines(mask.T, response.T).T
    if not lines.any():
        return lines
    return lines & ~dilate_mask(mask & ~lines, _KEPT_RADIUS)


def dominant_slope(mask: Mask) -> float:
    """Return the slope of the nearly horizontal and vertical lines in a mask (h, w).

    The slope is in pixels down for each pixel to the right, of at most 5 degrees.
    """
    slope = 0.0
    y, x = np.nonzero(mask)
    # A quarter of the pixels is enough.
    y, x = y[::4], x[::4]
    # Coarse first, then finer about the best.
    for angles in (_COARSE_ANGLES, _FINE_ANGLES):
        slopes = np.tan(np.deg2rad(angles)) + slope
        votes = [_line_votes(y - one * x) + _line_votes(x + one * y) for one in slopes.tolist()]
        slope = float(slopes[int(np.argmax(votes))])
    return slope


def _line_votes(places: NDArray[np.float64]) -> float:
    """Return the sum of squares of a histogram: pixels of sharp lines gather in few bins."""
    rows = (places - places.min(initial=0)).astype(np.intp)
    counts = np.bincount(rows).astype(np.float64)
    return float(counts @ counts)


def _horizontal_lines(mask: Mask, response: Floats) -> Mask:
    """Return the pixels of nearly horizontal lines, without crossing strokes."""
    rows, columns = mask.shape
    offsets = np.arange(columns) - columns // 2
    pixels = np.zeros_like(mask)
    for line in _detect_lines(mask):
        middle = line.row + np.rint(_SLOPES[line.angle] * offsets).astype(np.intp)
        place = middle + np.arange(-line.half, line.half + 1)[:, np.newaxis]
        at = np.clip(place, 0, rows - 1), np.arange(columns)[np.newaxis]
        on_line = np.where(mask[at], response[at], 0)
        # The median over columns is the line's own response: strokes cross fewer than half.
        peaks = on_line.max(axis=0)
        typical = float(np.median(peaks[peaks > 0])) if peaks.any() else 0.0
        weak = (on_line > 0) & (on_line < _STROKE_TO_LINE * typical) & (place >= 0) & (place < rows)
        pixels[at[0][weak], np.broadcast_to(at[1], place.shape)[weak]] = True
    return pixels


def _detect_lines(mask: Mask) -> list[_Line]:
    """Return the nearly horizontal lines that cover enough of the width."""
    cover, padding = _hough_transform(mask)
    max_thickness = max(3, int(_MAX_THICKNESS * max(mask.shape)))
    lines = [
        _Line(angle, (low + high) // 2 - padding, (high - low + 1) // 2 + 1)
        for angle, peak, low, high in _peaks(cover)
        if high - low < max_thickness and 0 <= peak - padding < len(mask)
    ]
    if len(lines) < 2:
        return [line for line in lines if cover[line.angle, line.row + padding] > _MIN_COVER_ALONE]
    return lines


def _hough_transform(mask: Mask) -> tuple[Floats, int]:
    """Return the share of columns covered, (slopes, padding + h + padding), and the padding."""
    rows, columns = mask.shape
    sampled = mask[:, ::_COLUMN_STEP]
    y, x = np.nonzero(sampled)
    offsets = x * _COLUMN_STEP - columns // 2
    padding = int(np.ceil(_SLOPES[-1] * columns / 2)) + 2
    votes = [
        np.bincount(
            y - np.rint(slope * offsets).astype(np.intp) + padding, minlength=rows + 2 * padding
        )
        for slope in _SLOPES
    ]
    return np.stack(votes).astype(np.float32) / sampled.shape[1], padding


def _peaks(cover: Floats) -> Iterator[tuple[int, int, int, int]]:
    """Yield angle, row, first row and last row of each peak in `cover`, the highest first."""
    angles, rows = np.nonzero(cover > _MIN_COVER)
    order = np.argsort(-cover[angles, rows], kind="stable")
    taken = np.zeros(cover.shape[1], bool)
    for angle, row in zip(angles[order].tolist(), rows[order].tolist(), strict=True):
        if taken[row]:
            continue
        profile = cover[angle] > _MIN_COVER / 2
        low, high = row, row
        while low > 0 and profile[low - 1]:
            low -= 1
        while high + 1 < len(profile) and profile[high + 1]:
            high += 1
        taken[max(low - _MIN_DISTANCE + 1, 0) : high + _MIN_DISTANCE] = True
        yield angle, row, low, high
