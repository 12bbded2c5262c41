"""Read a form: picture in, the digits of every cell of its grid out.

Printed lines are taken out of the picture; parts of them that a stroke runs through are kept. A
stroke belongs to the cell that holds most of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from ..errors import ImageError
from .arrays import Box, Floats, Grey, Ints, Mask
from .connected_components import label_components
from .decode import Picture, open_page
from .foreground import (
    choose_channel,
    dilate_mask,
    gradient_magnitude,
    top_hat,
)
from .grid import Frame, Grid, find_grid, long_runs, turn
from .grouping import group_components, join_bars
from .localization import Candidate, View
from .multi_digit import LocatedDigit, crop_group, split_candidates
from .normalization import stroke_width
from .segmentation import Read

if TYPE_CHECKING:
    from ..bundle.model_spec import ModelSpec

# Pixels: height of a cell while its digits are cut out; longer side of the frame, at most.
_CELL_HEIGHT, _MAX_SIDE = 96, 2400
# Shares of a cell's height: window of the top-hat transform, wider than any stroke; a run that is
# a line; the margin within a cell where lines may lie.
_WINDOW, _RUN, _MARGIN = 0.5, 0.6, 0.12
# A stroke differs from the paper by this share of its brightness, and of the strongest 1 % of
# responses in cells.
_MIN_CONTRAST, _MIN_RESPONSE = 0.08, 0.35
# A stroke's response is at least this many times that of the line it crosses.
_STROKE_TO_LINE = 1.4
# Shares of a cell's height: a lower and narrower component is a speck; the lowest digit.
_MIN_SIDE, _MIN_DIGIT = 0.12, 0.25
# Shares of a component: in its own cell, at least; in a second cell, from which it is divided
# between both.
_MIN_INSIDE, _DIVIDED = 0.3, 0.3


class FormCell(NamedTuple):
    """A cell of a form: its box in pixels of the upright picture, and its digits."""

    box: tuple[int, int, int, int]
    digits: list[LocatedDigit]


def read_form(picture: Picture, *, spec: ModelSpec, read: Read) -> list[list[FormCell | None]]:
    """Return the cells of a form, row after row from the top; None where a row has no cell.

    Args:
        picture: as for `preprocess.preprocess`.
        spec: input of a model of grey digits.
        read: as for `multi_digit.read_digits`.

    Raises:
        ImageError: the picture cannot be read, is too large, or shows no grid of printed cells.
    """
    page = open_page(picture)
    grid = find_grid(page.image)
    if grid is None:
        name = picture if isinstance(picture, str | PathLike) else "a picture"
        raise ImageError(
            f"Expected a form with cells between printed lines, got {name} without such a grid; "
            f"take a sharper picture from straight above.",
            code="image-grid",
        )
    frame, boxes = _enlarge(page.image, grid)
    candidates = _cut_out(frame, [box for row in boxes for box in row if box], dark=grid.dark)
    digits = split_candidates(list(itertools.chain(*candidates)), spec=spec, read=read)
    located = iter(_locate(frame, candidates, digits, page.scale))
    return [
        [box and FormCell(_round(frame.to_page(box), page.scale), next(located)) for box in row]
        for row in boxes
    ]


def _enlarge(page: Image.Image, grid: Grid) -> tuple[Frame, list[list[Box | None]]]:
    """Return the page with cells of _CELL_HEIGHT, and their boxes there."""
    width, height = grid.frame.image.size
    zoom = min(_CELL_HEIGHT / grid.cell_height, _MAX_SIDE / max(width, height))
    frame = turn(page, grid.slope, zoom * grid.zoom)
    # The middle of both frames is that of the page.
    x = (frame.image.width - zoom * width) / 2
    y = (frame.image.height - zoom * height) / 2

    def enlarge(box: Box) -> Box:
        left, top, right, bottom = (zoom * side for side in box)
        return left + x, top + y, right + x, bottom + y

    return frame, [[box and enlarge(box) for box in row] for row in grid.rows]


def _cut_out(frame: Frame, cells: list[Box], *, dark: bool) -> list[list[Candidate]]:
    """Return what may be digits in each cell, from left to right. Boxes are in the frame."""
    grey = choose_channel(frame.image)
    height = float(np.median([bottom - top for _, top, _, bottom in cells]))
    response, noise = top_hat(grey, int(_WINDOW * height) | 1, dark=dark)
    inside = _cell_numbers(cells, grey.shape, margin=int(_MARGIN * height)) >= 0
    typical = float(np.quantile(response[inside][::4], 0.99))
    mask = response > max(noise, _MIN_CONTRAST, _MIN_RESPONSE * typical)
    ink = _remove_lines(mask, response, cells, height)
    owners = _give_to_cells(ink, cells, height)
    gradient = gradient_magnitude(grey)
    reach = int(0.6 * height)
    candidates = []
    for number, (left, top, right, bottom) in enumerate(cells):
        x, y = max(int(left) - reach, 0), max(int(top) - reach, 0)
        window = slice(y, int(bottom) + reach), slice(x, int(right) + reach)
        own = owners[window] == number
        view = View(frame.image, x, y, 1.0)
        candidates.append(_digits_of_cell(own, response[window], gradient[window], view, height))
    return candidates


def _cell_numbers(cells: list[Box], shape: tuple[int, ...], margin: int = 0) -> Ints:
    """Return the cell of each pixel, (h, w); -1 outside, and in the margin within each cell."""
    numbers = np.full(shape, -1, np.intp)
    for number, (left, top, right, bottom) in enumerate(cells):
        rows = slice(int(top) + margin, int(bottom) + 1 - margin)
        numbers[rows, int(left) + margin : int(right) + 1 - margin] = number
    return numbers


def _remove_lines(mask: Mask, response: Floats, cells: list[Box], height: float) -> Mask:
    """Return a mask without printed lines, but with strokes that touch or cross them."""
    length, margin = int(_RUN * height), int(_MARGIN * height)
    across, down = long_runs(mask, length, 1), long_runs(mask, length, 0)
    for box in cells:
        left, top, right, bottom = map(int, box)
        across[top + margin : bottom - margin, left:right] = False
        down[top:bottom, left + margin : right - margin] = False
    lines = dilate_mask(across | down, 1) & mask
    if not lines.any():
        return mask
    lines &= response < _STROKE_TO_LINE * float(np.median(response[lines]))
    # Strokes, without the fringes of lines.
    strokes = label_components(mask & ~lines, np.zeros_like(response), min_area=8)
    wide = np.append(strokes.longer_sides > _MIN_SIDE * height, False)
    ink: Mask = wide[strokes.labels]
    half = int(np.ceil(stroke_width(lines.astype(np.float32)) / 2)) + 1
    return ink | lines & dilate_mask(ink, half)


def _give_to_cells(ink: Mask, cells: list[Box], height: float) -> Ints:
    """Return the cell that each pixel of ink belongs to, (h, w); -1 for none.

    A component belongs to the cell that holds most of it; one of two neighbouring digits that touch
    is divided between their cells.
    """
    owners, count = _cell_numbers(cells, ink.shape), len(cells)
    interior = _cell_numbers(cells, ink.shape, margin=int(_MARGIN * height)) >= 0
    components = label_components(ink, np.zeros(ink.shape, np.float32), min_area=8)
    inside = (components.labels >= 0) & (owners >= 0)
    pairs = components.labels[inside] * count + owners[inside]
    shares = np.bincount(pairs, minlength=len(components) * count).reshape(-1, count)
    first = shares.argmax(axis=1)
    ordered = np.sort(shares, axis=1)
    total = np.maximum(components.area, 1)
    divided = np.zeros(len(components), bool)
    if count > 1:
        divided = ordered[:, -2] > _DIVIDED * total
    # Ink outside all cells, such as a caption, belongs to none.
    first[ordered[:, -1] < _MIN_INSIDE * total] = -1
    first[components.longer_sides < _MIN_SIDE * height] = -1
    # Ink that stays beside the printed lines is what is left of them.
    reached = np.zeros(len(components), bool)
    reached[np.unique(components.labels[interior & ink])] = True
    first[~reached] = -1
    result = np.append(first, -1)[components.labels]
    in_turn = np.append(divided, False)[components.labels]
    result[in_turn] = owners[in_turn]
    return result


def _digits_of_cell(
    own: Mask, response: Floats, gradient: Grey, view: View, height: float
) -> list[Candidate]:
    """Return what may be digits in the ink of one cell (h, w), from left to right."""
    if not own.any():
        return []
    components = label_components(own, gradient, min_area=8)
    groups = group_components(components, components.gradient_sum)
    tallest = max((bottom - top for _, top, _, bottom in components.boxes.tolist()), default=0)
    candidates = [
        crop_group(view, components, response, members)
        for members, _ in join_bars(groups, components.boxes, tallest)
    ]
    large = [one for one in candidates if max(one.foreground.shape) > _MIN_DIGIT * height]
    return sorted(large, key=lambda one: one.box[0])


def _locate(
    frame: Frame,
    candidates: list[list[Candidate]],
    digits: list[list[tuple[Candidate, Grey]]],
    scale: float,
) -> Iterator[list[LocatedDigit]]:
    """Yield the digits of each cell, whose candidates were split one after the other."""
    split = iter(digits)
    for cell in candidates:
        pieces = itertools.chain(*itertools.islice(split, len(cell)))
        yield [
            LocatedDigit(image, _round(frame.to_page(digit.box), scale)) for digit, image in pieces
        ]


def _round(box: Box, scale: float) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(side * scale) for side in box)
    return left, top, right, bottom
