"""Locate the digit of an even page by one threshold: a pen on clean paper, a drawing on a screen.

Most pictures are like that, and need no search: the paper is one grey level, the pen another, and
all that is darker than half way between is the digit. Every sign that a picture is not so simple
makes the answer None, and `localization` searches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from .arrays import Floats, Grey, Mask
from .connected_components import label_components
from .foreground import bounding_box
from .localization import Candidate, downscale_page

# Pixels: a smaller picture is enlarged to this longer side, so that its strokes get smooth edges.
_ENLARGED_SIDE = 96
# Shares of the pixels: the darkest and the lightest of them tell the contrast.
_EXTREME = 0.005
# Grey levels of 255 between paper and pen; share of it by which pixels may differ the other way.
_MIN_CONTRAST, _MAX_OPPOSITE = 50, 0.35
# Share of the pixels that the digit covers; in a picture cut out closely round it, at most.
_MIN_COVER, _MAX_COVER, _MAX_COVER_CLOSE = 0.005, 0.35, 0.65
# Pixels between a quarter and half of the contrast, as a share of the digit's: strokes have them at
# their edges only, shadows everywhere.
_MAX_SOFT = 0.6
# Pixels of the digit's longer side; width / height.
_MIN_SIDE, _MAX_ASPECT = 14, 1.25
# Share of the picture's height or width: a digit cut out closely is as large. It may touch the
# border.
_CLOSE = 0.9
# Share of its pixels in one component, if it touches the border. Two are a digit and an edge.
_MIN_MAIN_AREA = 0.93
# Shares of the digit's longer side: an empty column between strokes, an empty row.
_MAX_GAP_ACROSS, _MAX_GAP_DOWN = 0.06, 0.15
# Shares of the digit's longer side: stroke width, stroke length. `localization` allows more.
_MAX_STROKE_WIDTH, _MAX_STROKE_LENGTH = 0.36, 4.0


class _Levels(NamedTuple):
    paper: int  # grey level
    pen: int  # grey level
    cover: float  # share of the pixels that are nearer to the pen


def locate_digit(small: Image.Image, *, close: bool) -> Candidate | None:
    """Return the only digit of a page's small image (L or RGB); None if it needs a search.

    Args:
        small: the image.
        close: whether the picture may be cut out so closely that the digit touches its border.
    """
    view = downscale_page(small.convert("L"), max(*small.size, _ENLARGED_SIDE))
    levels = _find_levels(view.image)
    if levels is None:
        return None
    grey = np.asarray(view.image)
    half = (levels.paper + levels.pen) / 2
    mask = grey < half if levels.pen < levels.paper else grey > half
    box = _find_box(mask, levels.cover, close=close)
    if box is None:
        return None
    left, top, right, bottom = box
    mask = mask[top:bottom, left:right]
    side, width = max(mask.shape), _stroke_width(mask)
    length = float(np.count_nonzero(mask)) / width / side
    if width > _MAX_STROKE_WIDTH * side or length > _MAX_STROKE_LENGTH:
        return None
    foreground = _extract(grey[top:bottom, left:right], mask, levels.paper)
    x0, y0, x1, y1 = bounding_box(foreground)
    inner = left + x0, top + y0, left + x1, top + y1
    return Candidate(foreground[y0:y1, x0:x1], view.to_page(inner))


def _stroke_width(mask: Mask) -> float:
    """Return the mean stroke width of a mask in pixels: 2 × area / length of the outline."""
    edges = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(mask[:, 1:] != mask[:, :-1])
    # Edges of pixels make a line of random direction longer, by 4 / π on average.
    return 2 * float(np.count_nonzero(mask)) / max(edges * np.pi / 4, 1)


def _find_levels(image: Image.Image) -> _Levels | None:
    """Return the grey levels of paper and pen; None if they are not two clearly different ones."""
    counts = np.array(image.histogram()).cumsum()
    count = int(counts[-1])
    low, high = np.searchsorted(counts, (_EXTREME * count, (1 - _EXTREME) * count)).tolist()
    darker = int(counts[(low + high) // 2])
    dark = 2 * darker < count
    if _MAX_COVER * count < darker < (1 - _MAX_COVER) * count:
        # A thick pen may cover more than half of a close crop, but not of its border.
        grey = np.asarray(image)
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        dark = float(np.mean(border <= (low + high) // 2)) < 0.5
    # The grey level of paper is the median of its pixels.
    majority = (darker + count) / 2 if dark else darker / 2
    paper = int(np.searchsorted(counts, majority))
    pen, opposite = (low, high) if dark else (high, low)
    contrast = abs(paper - pen)
    if contrast < _MIN_CONTRAST or abs(paper - opposite) > _MAX_OPPOSITE * contrast:
        return None
    quarter, half = (
        int(counts[paper - 1 - contrast * part // 4])
        if dark
        else count - int(counts[paper + contrast * part // 4])
        for part in (1, 2)
    )
    if half < _MIN_COVER * count or quarter - half > _MAX_SOFT * half:
        return None
    return _Levels(paper, pen, half / count)


def _find_box(mask: Mask, cover: float, *, close: bool) -> tuple[int, int, int, int] | None:
    """Return the bounding box of a mask with a margin of 1 pixel, as far as the picture goes.

    None if the mask may hold more than one digit, or a part of something larger.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    height, width = mask.shape
    side = max(right - left, bottom - top)
    close = close and (bottom - top > _CLOSE * height or right - left > _CLOSE * width)
    cut_off = min(left, top, width - right, height - bottom) < 1
    if cover > (_MAX_COVER_CLOSE if close else _MAX_COVER):
        return None
    if cut_off and not (close and _is_connected(mask)):
        return None
    gaps = np.diff(columns).max(initial=0) - 1, np.diff(rows).max(initial=0) - 1
    if gaps[0] > _MAX_GAP_ACROSS * side or gaps[1] > _MAX_GAP_DOWN * side:
        return None
    if side < _MIN_SIDE or right - left > _MAX_ASPECT * (bottom - top):
        return None
    return max(int(left) - 1, 0), max(int(top) - 1, 0), int(right) + 1, int(bottom) + 1


def _is_connected(mask: Mask) -> bool:
    """Whether one component has nearly all pixels."""
    area = label_components(mask, mask.view(np.uint8), min_area=1).area
    return bool(area.max() > _MIN_MAIN_AREA * area.sum())


def _extract(grey: Grey, mask: Mask, paper: int) -> Floats:
    """Return the foreground (h, w) in [0, 1] as `localization.crop_digit` does."""
    difference = np.abs(grey.astype(np.float32) - np.float32(paper))
    inside = difference[mask]
    place = int(0.7 * (len(inside) - 1))
    typical = float(np.partition(inside, place)[place])
    foreground: Floats = np.clip(difference * np.float32(2 / typical) - np.float32(0.5), 0, 1)
    return foreground
