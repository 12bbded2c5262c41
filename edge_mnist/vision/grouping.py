"""Group the components of a picture into digits: a digit may be written in several strokes."""

from __future__ import annotations

import numpy as np

from .arrays import Floats, Ints, Mask
from .connected_components import Components

# The components of a digit, and its box: left, top, right, bottom in pixels.
Group = tuple[Ints, tuple[int, int, int, int]]

# Shares of the best component's score and longer side: a further digit of the row has as much.
_MIN_SCORE, _MIN_SIDE = 0.02, 0.3
# Shares of the main component's longer side, area, and gradient along the outline: a smaller or
# weaker component is a speck, not a stroke. Touching the border for this share of its outline, it
# is the edge of something larger.
_MIN_STROKE_SIDE, _MIN_STROKE_AREA, _MIN_GRADIENT, _MAX_BORDER = 0.12, 0.03, 0.35, 0.25
# Shares of the digit's longer side: gaps between its strokes, and the longest stroke that joins.
_MAX_GAP_ACROSS, _MAX_GAP_DOWN, _MAX_STROKE = 0.12, 0.25, 1.6
# Shares of the height of most digits: a lower group is part of a digit, a hyphen, a dot or a comma;
# a bar is as wide as the second, and as near to its digit as the third.
_MIN_HEIGHT, _MIN_BAR, _MAX_BAR_GAP = 0.4, 0.2, 0.15
# In a row of digits strokes that join overlap across, and are at most this long.
_MAX_STROKE_IN_ROW = 1.2


def group_components(components: Components, scores: Floats) -> list[Ints]:
    """Return the components of every digit, the best score first. No component is in two."""
    groups: list[Ints] = []
    free = np.ones(len(components), bool)
    sides = components.longer_sides
    order = np.argsort(-scores, kind="stable")
    for main in order[scores[order] > _MIN_SCORE * scores.max(initial=0)]:
        if free[main] and sides[main] > _MIN_SIDE * sides[order[0]]:
            groups.append(_group(components, int(main), free, in_row=True))
            free[groups[-1]] = False
    return groups


def join_bars(groups: list[Ints], boxes: Ints, height: float) -> list[Group]:
    """Return groups of components with their boxes, without low ones.

    A low group, such as the bar of a 5 beside it, joins a digit that is near enough.

    Args:
        groups: of the components that `boxes` (n, 4) are of.
        height: of most digits, in pixels.
    """
    digits: list[Group] = []
    low: list[Group] = []
    for members in groups:
        left, top = boxes[members, :2].min(axis=0).tolist()
        right, bottom = boxes[members, 2:].max(axis=0).tolist()
        kind = digits if bottom - top > _MIN_HEIGHT * height else low
        kind.append((members, (left, top, right, bottom)))
    if not digits:
        return []
    corners = np.array([box for _, box in digits])
    for members, (left, top, right, bottom) in low:
        across = np.maximum(corners[:, 0] - right, left - corners[:, 2])
        down = np.maximum(corners[:, 1] - bottom, top - corners[:, 3])
        gaps = np.maximum(across, down)
        nearest = int(gaps.argmin())
        is_bar = right - left > _MIN_BAR * height
        if is_bar and gaps[nearest] < _MAX_BAR_GAP * height:
            digit, (x0, y0, x1, y1) = digits[nearest]
            box = min(x0, left), min(y0, top), max(x1, right), max(y1, bottom)
            digits[nearest] = np.append(digit, members), box
    return digits


def group_around(components: Components, main: int) -> Ints:
    """Return the components that make up the only digit of a picture, `main` first."""
    return _group(components, main, np.ones(len(components), bool), in_row=False)


def _group(components: Components, main: int, free: Mask, *, in_row: bool) -> Ints:
    """Return `main` and the free strokes near it; each one that joins widens the search."""
    members = [main]
    candidates = free & _are_strokes(components, main)
    candidates[main] = False
    box = components.boxes[main].copy()
    while True:
        near = np.flatnonzero(candidates & _are_near(components, box, in_row=in_row))
        if not len(near):
            return np.array(members)
        members += near.tolist()
        candidates[near] = False
        box[:2] = np.minimum(box[:2], components.boxes[near, :2].min(axis=0))
        box[2:] = np.maximum(box[2:], components.boxes[near, 2:].max(axis=0))


def _are_strokes(components: Components, main: int) -> Mask:
    """Whether each component is as clear a stroke as `main`, not a speck or an edge."""
    sides = components.longer_sides
    gradient = components.gradient_sum / np.maximum(components.perimeter, 1)
    strokes: Mask = sides >= _MIN_STROKE_SIDE * sides[main]
    strokes &= components.area >= _MIN_STROKE_AREA * components.area[main]
    strokes &= components.border_contact < _MAX_BORDER * components.perimeter
    strokes &= gradient > _MIN_GRADIENT * gradient[main]
    return strokes


def _are_near(components: Components, box: Ints, *, in_row: bool) -> Mask:
    """Whether each component is near enough to a digit's box to be one of its strokes."""
    boxes, sides = components.boxes, components.longer_sides
    side = max(box[2] - box[0], box[3] - box[1])
    gap_across = np.maximum(boxes[:, 0] - box[2], box[0] - boxes[:, 2])
    gap_down = np.maximum(boxes[:, 1] - box[3], box[1] - boxes[:, 3])
    near: Mask = gap_down <= _MAX_GAP_DOWN * side
    if not in_row:
        near &= (gap_across <= _MAX_GAP_ACROSS * side) & (sides <= _MAX_STROKE * side)
        return near
    # A neighbouring digit only leans over this one; a stroke of this one lies above or below it.
    widths = boxes[:, 2] - boxes[:, 0]
    overlaps = gap_across < -0.5 * np.minimum(widths, box[2] - box[0])
    near &= (gap_across <= 0) & (sides <= _MAX_STROKE_IN_ROW * side)
    near &= overlaps | (sides < 0.5 * side)
    return near
