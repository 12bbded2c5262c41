"""Find the grid of a form: the cells between its printed lines, in rows and columns.

The page is turned until its lines are level (the Hough transform of `line_removal` measures the
angle). Long runs of dark pixels are lines; what they enclose is a cell, as in Gatos et al. 2005,
"Automatic Table Detection in Document Images". A table's cells share lines, and boxes have gaps.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from PIL import Image

from . import localization
from .arrays import Box, Ints, Mask
from .connected_components import label_components
from .foreground import choose_channel, dilate_mask, top_hat
from .line_removal import dominant_slope

# Pixels: longer side of the page that is searched.
_SEARCHED_SIDE = 1000
# Pixels: window of the top-hat transform, which lines are narrower than.
_LINE_WINDOW = 15
# A line's pixel differs from the paper by at least this share of its brightness.
_MIN_CONTRAST = 0.08
# Shares of the longer side: runs that are lines; the longest are tried first.
_RUNS = (1 / 12, 1 / 20, 1 / 32, 1 / 50)
# Share of a cell's shorter side: runs that are lines, once cells are known.
_RUN_IN_CELL = 0.75
# Pixels of a cell's shorter side; share of its box that it fills; cells of a grid.
_MIN_CELL, _MIN_FILL, _MIN_CELLS = 14, 0.6, 2
# Share of the shorter side: a cell's corners, this far inside, are paper. Those of a loop are not.
_CORNER = 0.08
# Pixels: a cell's side lies as near to its box; the share of each side that is a line.
_SIDE_REACH, _MIN_SIDE = 3, 0.9
# Shares of the median cell's height, which other cells of the grid have.
_MIN_HEIGHT, _MAX_HEIGHT = 0.5, 2.0
# Widths / heights of a cell.
_MIN_ASPECT, _MAX_ASPECT = 0.3, 12.0
# Share of the largest number of cells: a shorter run has to find more.
_MIN_GAIN = 1.2


class Frame(NamedTuple):
    """A page, turned until its lines are level: pixel (x, y) lies at `matrix` @ (x, y, 1) there."""

    image: Image.Image
    matrix: tuple[float, float, float, float, float, float]

    def to_page(self, box: Box) -> Box:
        """Return the upright box on the page that holds a box of the frame."""
        a, b, c, d, e, f = self.matrix
        corners = list(itertools.product(box[::2], box[1::2]))
        xs = [a * x + b * y + c for x, y in corners]
        ys = [d * x + e * y + f for x, y in corners]
        return min(xs), min(ys), max(xs), max(ys)


class Grid(NamedTuple):
    """The cells of a form in a frame of its page.

    Attributes:
        rows: from top to bottom; None for a column where a row has no cell. A box is left, top,
            right, bottom in pixels of the frame, inside the printed lines.
        frame: the page in which the cells lie.
        dark: whether lines are darker than the paper.
        slope: of the lines on the page, in pixels down for each pixel to the right.
        zoom: pixels of the frame for each pixel of the page.
    """

    rows: list[list[Box | None]]
    frame: Frame
    dark: bool
    slope: float
    zoom: float

    @property
    def cell_height(self) -> float:
        """The median height of a cell, in pixels of the frame."""
        cells = itertools.chain(*self.rows)
        return float(np.median([cell[3] - cell[1] for cell in cells if cell]))


def find_grid(page: Image.Image) -> Grid | None:
    """Return the grid of printed cells on a page (L or RGB), or None if it has none."""
    view = localization.downscale_page(page, _SEARCHED_SIDE)
    grey = choose_channel(view.image)
    for dark in (True, False):
        slope = dominant_slope(_line_mask(grey, dark=dark))
        frame = turn(page, slope, 1 / view.scale)
        mask = _line_mask(choose_channel(frame.image), dark=dark)
        best: list[Box] = []
        for share in _RUNS:
            cells = _find_cells(mask, int(share * max(view.image.size)))
            if len(best) >= _MIN_CELLS and len(cells) < _MIN_GAIN * len(best):
                break
            best = cells
        if len(best) >= _MIN_CELLS:
            # Runs nearly as long as a cell are no strokes of a digit.
            sides = [min(right - left, bottom - top) for left, top, right, bottom in best]
            again = _find_cells(mask, int(_RUN_IN_CELL * float(np.median(sides))))
            return Grid(_arrange(max(again, best, key=len)), frame, dark, slope, 1 / view.scale)
    return None


def turn(page: Image.Image, slope: float, zoom: float) -> Frame:
    """Return a page `zoom` times as large, turned until lines of a slope are level."""
    view = localization.crop_page(page, (0, 0, *page.size), zoom)
    width, height = view.image.size
    length = float(np.hypot(1, slope))
    cos, sin = 1 / length, slope / length
    size = int(width * cos + height * abs(sin)) + 1, int(height * cos + width * abs(sin)) + 1
    # The middle of the frame lies on the middle of the page.
    x = width / 2 - cos * size[0] / 2 + sin * size[1] / 2
    y = height / 2 - sin * size[0] / 2 - cos * size[1] / 2
    matrix = (cos, -sin, x, sin, cos, y)
    if abs(slope) < 1e-4:
        image = view.image
        matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    else:
        fill = tuple(int(np.median(np.asarray(band)[::8, ::8])) for band in view.image.split())
        image = view.image.transform(
            size,
            Image.Transform.AFFINE,
            matrix,
            Image.Resampling.BICUBIC,
            fillcolor=fill if len(fill) > 1 else fill[0],
        )
    return Frame(image, tuple(value * view.scale for value in matrix))  # type: ignore[arg-type]


def long_runs(mask: Mask, length: int, axis: int) -> Mask:
    """Return the pixels of a mask (h, w) in straight runs of a length, along columns or rows.

    Args:
        axis: 1 for horizontal runs, 0 for vertical ones. They may wander by a pixel to each side.
    """
    if axis == 0:
        return long_runs(mask.T, length, 1).T
    wide = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    if wide.shape[1] <= length:
        return np.zeros_like(mask)
    sums = np.pad(np.cumsum(wide, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    starts = sums[:, length:] - sums[:, :-length] == length
    # A pixel belongs to a run if one of the last `length` places begins one.
    begun = np.pad(
        np.cumsum(starts, axis=1, dtype=np.int32), ((0, 0), (length, length - 1)), "edge"
    )
    begun[:, :length] = 0
    runs: Mask = begun[:, length:] > begun[:, :-length]
    return runs


def _line_mask(grey: np.ndarray, *, dark: bool) -> Mask:
    response, noise = top_hat(grey, _LINE_WINDOW, dark=dark)
    mask: Mask = response > max(noise, _MIN_CONTRAST)
    return mask


def _find_cells(mask: Mask, length: int) -> list[Box]:
    """Return the boxes that runs of a mask enclose, as far as they are of one height."""
    lines = long_runs(mask, length, 1) | long_runs(mask, length, 0)
    lines = dilate_mask(lines, 1)
    regions = label_components(~lines, np.zeros(mask.shape, np.float32), min_area=_MIN_CELL**2)
    widths, heights = (regions.boxes[:, 2:] - regions.boxes[:, :2]).T
    # Digits, and lines within a cell, leave holes in it.
    cells = (regions.border_contact == 0) & (np.minimum(widths, heights) >= _MIN_CELL)
    cells &= regions.area > _MIN_FILL * widths * heights
    cells &= (widths > _MIN_ASPECT * heights) & (widths < _MAX_ASPECT * heights)
    if not cells.any():
        return []
    height = np.median(heights[cells])
    cells &= (heights > _MIN_HEIGHT * height) & (heights < _MAX_HEIGHT * height)
    boxes = [
        (float(left - 1), float(top - 1), float(right + 1), float(bottom + 1))
        for left, top, right, bottom in regions.boxes[cells].tolist()
        if _is_rectangle(lines, mask, (left, top, right, bottom))
    ]
    return _outermost(boxes)


def _is_rectangle(lines: Mask, mask: Mask, box: tuple[int, int, int, int]) -> bool:
    """Whether lines run along the sides of a box, and no ink across its corners, as in a 0."""
    left, top, right, bottom = box
    inset = int(_CORNER * min(right - left, bottom - top)) + 1
    rows, columns = (top + inset, bottom - 1 - inset), (left + inset, right - 1 - inset)
    # A stroke may cross one corner.
    if mask[np.ix_(rows, columns)].sum() > 1:
        return False
    reach = _SIDE_REACH + max(right - left, bottom - top) // 50
    near = (
        lines[max(top - reach, 0) : top + reach, left:right].any(axis=0),
        lines[bottom - reach : bottom + reach, left:right].any(axis=0),
        lines[top:bottom, max(left - reach, 0) : left + reach].any(axis=1),
        lines[top:bottom, right - reach : right + reach].any(axis=1),
    )
    return min(float(side.mean()) for side in near) > _MIN_SIDE


def _outermost(boxes: list[Box]) -> list[Box]:
    """Leave out boxes whose middle lies in a larger one, such as the inside of a 0."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda one: (one[0] - one[2]) * (one[3] - one[1])):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if not any(one[0] < x < one[2] and one[1] < y < one[3] for one in kept):
            kept.append(box)
    return kept


def _arrange(boxes: list[Box]) -> list[list[Box | None]]:
    """Return boxes in rows, and in the columns of the row that has the most."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda one: one[1] + one[3]):
        middle = (box[1] + box[3]) / 2
        if rows and middle < float(np.mean([one[3] for one in rows[-1]])):
            rows[-1].append(box)
        else:
            rows.append([box])
    for row in rows:
        row.sort()
    longest = max(rows, key=len)
    return [_in_columns(row, longest) for row in rows]


def _in_columns(row: list[Box], columns: list[Box]) -> list[Box | None]:
    """Return the boxes of a row, each in the nearest column, or in turn if two are nearest to one.

    A box that spans several columns stands in the first of them.
    """
    lefts: Ints = np.array([column[0] for column in columns])
    places = [int(np.abs(lefts - box[0]).argmin()) for box in row]
    if len(set(places)) < len(places):
        places = list(range(len(row)))
    placed: list[Box | None] = [None] * len(columns)
    for place, box in zip(places, row, strict=True):
        placed[place] = box
    return placed
