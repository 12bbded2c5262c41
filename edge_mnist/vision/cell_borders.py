"""Erase the printed borders of a form's cell, where a cut left them at the edges of its picture."""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image, ImageDraw

from .arrays import Floats, Grey, Ints, Mask

# Slopes of a border: up to 4 degrees, in steps of half a degree.
_SLOPES = np.tan(np.deg2rad(np.arange(-4, 4.01, 0.5)))
# Share of the picture's side: a border is as near to the edge.
_STRIP = 0.3
# Grey levels of 255, and share of the contrast: a border is darker than the paper by as much.
_MIN_DIFFERENCE, _MIN_SHARE = 14, 0.2
# Shares of the length along the edge that a border covers, and that each of its rows covers.
_MIN_COVER, _MIN_ROW_COVER = 0.88, 0.4
# Shares of the picture's longer side: thickness of a border, the least that is left of the digit.
_MAX_THICKNESS, _MIN_LEFT = 0.12, 0.15
# Grey levels of 255 between a border and the paper three pixels further in.
_MIN_STEP = 15
# Share of the pixels along the edges that may be dark once the borders are erased. The lines of
# squared paper reach the edges everywhere.
_MAX_LEFT_AT_EDGES = 0.2
# Pixels: in a smaller picture a digit's own bar is as thin as a border.
_MIN_SIDE = 24
# Every third column is looked at, which is enough for a line.
_STEP = 3

Polygon = tuple[tuple[float, float], ...]


def find_borders(small: Image.Image) -> list[Polygon]:
    """Return what lies at and beyond the printed borders of a picture (L or RGB).

    Returns:
        A polygon a side that has a border, its corners (x, y) as shares of width and height; none
        if the digit itself would be erased.
    """
    image = small.convert("L")
    mask, grey = _darker_than_paper(image), np.asarray(image)
    if mask is None or min(mask.shape) < _MIN_SIDE:
        return []
    polygons = []
    for transposed, flipped in itertools.product((False, True), repeat=2):
        # Each side is turned to be the upper one.
        turn = slice(None, None, -1 if flipped else 1)
        turned, levels = (mask.T, grey.T) if transposed else (mask, grey)
        depths = _find_upper_border(turned[turn], levels[turn])
        if depths is not None:
            left, right = (depth / len(turned) for depth in depths)
            polygons.append(_turn_back(left, right, transposed=transposed, flipped=flipped))
    return polygons if polygons and _leaves_digit(mask, polygons) else []


def _turn_back(left: float, right: float, *, transposed: bool, flipped: bool) -> Polygon:
    """Return the corners of what lies above a border of a picture that was turned."""
    corners = ((0, 0), (1, 0), (1, right), (0, left))
    upright = [(x, 1 - y) if flipped else (x, y) for x, y in corners]
    return tuple((y, x) if transposed else (x, y) for x, y in upright)


def erase(image: Image.Image, polygons: list[Polygon]) -> Image.Image:
    """Return a picture (L or RGB) whose polygons are filled with the colour of its paper."""
    if not polygons:
        return image
    erased = image.copy()
    paper = tuple(_quantile(channel, 0.5) for channel in image.split())
    for polygon in polygons:
        points = [(x * image.width, y * image.height) for x, y in polygon]
        ImageDraw.Draw(erased).polygon(points, fill=paper if len(paper) > 1 else paper[0])
    return erased


def _quantile(channel: Image.Image, share: float) -> int:
    counts = np.array(channel.histogram()).cumsum()
    return int(np.searchsorted(counts, counts[-1] * share))


def _darker_than_paper(image: Image.Image) -> Mask | None:
    """Return the pixels that are clearly darker than the paper; None if no border has any."""
    counts = np.array(image.histogram()).cumsum()
    darkest, paper = np.searchsorted(counts, counts[-1] * np.array((0.01, 0.5))).tolist()
    level = paper - max(_MIN_DIFFERENCE, _MIN_SHARE * (paper - darkest))
    grey = np.asarray(image)
    if min(grey[0].min(), grey[-1].min(), grey[:, 0].min(), grey[:, -1].min()) >= level:
        return None
    mask: Mask = grey < level
    return mask


def _find_upper_border(mask: Mask, grey: Grey) -> tuple[float, float] | None:
    """Return the first row below the upper border, at the left and right edge; None without one."""
    height, width = mask.shape
    strip = int(_STRIP * height)
    cover = _line_cover(mask, 0, strip)
    if cover is None:
        return None
    # The innermost line is the cell's own; others belong to its neighbours.
    slope, row = max(np.argwhere(cover >= _MIN_COVER).tolist(), key=lambda place: place[1])
    profile = cover[slope] >= _MIN_ROW_COVER
    low = high = row
    while low > 0 and profile[low - 1]:
        low -= 1
    while high + 1 < strip and profile[high + 1]:
        high += 1
    if high - low >= max(_MAX_THICKNESS * max(mask.shape), 2):
        return None
    x, shifts = _columns(width)
    inside = grey[np.clip(min(high + 3, strip - 1) + shifts[slope], 0, height - 1), x]
    line = grey[np.clip(row + shifts[slope], 0, height - 1), x]
    if inside.mean() - line.mean() < _MIN_STEP:  # A shadow fades.
        return None
    # Ruled paper has such lines everywhere; a single one may be a digit's.
    middle = _line_cover(mask, strip, height - strip)
    if middle is not None:
        lines = np.flatnonzero(middle.max(axis=0) >= _MIN_COVER)
        if np.diff(lines).max(initial=0) > 2:
            return None
    lean = float(_SLOPES[slope]) * width / 2
    return high + 2 - lean, high + 2 + lean


def _line_cover(mask: Mask, first: int, last: int) -> Floats | None:
    """Return the share of columns that lines of each slope cover, (slopes, rows).

    Args:
        first, last: the rows at the middle column; `last` is excluded.

    Returns:
        None if there is no line.
    """
    if mask[first:last].any(axis=0).mean() < _MIN_COVER:
        return None
    x, shifts = _columns(mask.shape[1])
    rows = np.arange(first, last)[:, np.newaxis] + shifts[:, np.newaxis]
    cover: Floats = mask[np.clip(rows, 0, len(mask) - 1), x].mean(axis=2)
    return cover if cover.max() >= _MIN_COVER else None


def _columns(width: int) -> tuple[Ints, Ints]:
    """Return the columns that are looked at (n,), and the shift of each slope there (slopes, n)."""
    x = np.arange(_STEP // 2, width, _STEP)
    return x, np.rint(_SLOPES[:, np.newaxis] * (x - width / 2)).astype(np.intp)


def _leaves_digit(mask: Mask, polygons: list[Polygon]) -> bool:
    """Whether strokes of some length remain, and no lines that reach the edges."""
    erased = erase(Image.fromarray(mask.view(np.uint8) * np.uint8(255)), polygons)
    box, left = erased.getbbox(), np.asarray(erased) > 0
    edges = np.concatenate([left[0], left[-1], left[:, 0], left[:, -1]])
    if box is None or float(edges.mean()) > _MAX_LEFT_AT_EDGES:
        return False
    longer_side: int = max(box[2] - box[0], box[3] - box[1])
    return bool(longer_side > _MIN_LEFT * max(mask.shape))
