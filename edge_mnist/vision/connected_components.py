"""Connected components of a mask, with the measures that tell a pen's stroke from a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .arrays import Floats, Grey, Ints, Mask

# An outline pixel is sharp if its gradient is at least this share of the component's mean.
_SHARP = 0.4


@dataclass(frozen=True)
class Components:
    """The 8-connected components of a mask (h, w), n in all.

    Attributes:
        labels: (h, w), the component of each pixel; -1 for none.
        boxes: (n, 4): left, top, right, bottom in pixels; right and bottom are excluded.
        area: (n,), pixels.
        perimeter: (n,), pixels on the outline.
        border_contact: (n,), pixels on the outline that lie on the picture's border.
        gradient_sum: (n,), sum of the gradient over the outline.
        sharp: (n,), share of the outline, without the picture's border, with a steep gradient.
    """

    labels: Ints
    boxes: Ints
    area: Ints
    perimeter: Ints
    border_contact: Ints
    gradient_sum: Floats
    sharp: Floats

    def __len__(self) -> int:
        return len(self.area)

    @property
    def longer_sides(self) -> Ints:
        """The longer side of each box, (n,)."""
        left, top, right, bottom = self.boxes.T
        sides: Ints = np.maximum(right - left, bottom - top)
        return sides


class _Runs(NamedTuple):
    """Horizontal runs of set pixels in a mask, in the order of its pixels; each (n,)."""

    component: Ints
    length: Ints
    row: Ints
    start: Ints


def label_components(mask: Mask, gradient: Grey, *, min_area: int) -> Components:
    """Return the components of `mask` (h, w) that have at least `min_area` pixels."""
    runs = _label_runs(mask)
    area = np.bincount(runs.component, weights=runs.length).astype(np.intp)
    kept = area >= min_area
    component = np.where(kept, np.cumsum(kept) - 1, -1)[runs.component]
    labels = _paint(runs._replace(component=component), mask.shape)
    large = component >= 0
    runs = _Runs(*(column[large] for column in runs._replace(component=component)))
    area = area[kept]
    outlines = _measure_outlines(mask, labels, gradient, len(area))
    return Components(labels, _bounding_boxes(runs, len(area)), area, *outlines)


def _paint(runs: _Runs, shape: tuple[int, ...]) -> Ints:
    """Return the component of each pixel (h, w); -1 outside the runs."""
    starts = runs.row * shape[1] + runs.start
    # Between runs lie gaps: background and components take turns.
    values = np.full(2 * len(starts) + 1, -1, np.intp)
    values[1::2] = runs.component
    edges = np.empty(2 * len(starts) + 2, np.intp)
    edges[0], edges[-1] = 0, shape[0] * shape[1]
    edges[1:-1:2], edges[2:-1:2] = starts, starts + runs.length
    return np.repeat(values, np.diff(edges)).reshape(shape)


def _bounding_boxes(runs: _Runs, count: int) -> Ints:
    boxes = np.empty((count, 4), np.intp)
    boxes[:, :2], boxes[:, 2:] = np.iinfo(np.intp).max, 0
    np.minimum.at(boxes[:, 0], runs.component, runs.start)
    np.minimum.at(boxes[:, 1], runs.component, runs.row)
    np.maximum.at(boxes[:, 2], runs.component, runs.start + runs.length)
    np.maximum.at(boxes[:, 3], runs.component, runs.row + 1)
    return boxes


def _measure_outlines(
    mask: Mask, labels: Ints, gradient: Grey, count: int
) -> tuple[Ints, Ints, Floats, Floats]:
    """Return perimeter, border_contact, gradient_sum and sharp of `count` components."""
    inner = mask[1:-1, 1:-1]
    inside = np.zeros(mask.shape, bool)
    inside[1:-1, 1:-1] = inner & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    outline = np.flatnonzero(mask & ~inside)
    component = labels.ravel()[outline]
    large = component >= 0
    outline, component = outline[large], component[large]
    slopes = gradient.ravel()[outline]
    row, column = np.divmod(outline, mask.shape[1])
    off_border = (row > 0) & (row < mask.shape[0] - 1) & (column > 0) & (column < mask.shape[1] - 1)
    perimeter = np.bincount(component, minlength=count)
    border_contact = np.bincount(component[~off_border], minlength=count)
    gradient_sum = np.bincount(component, weights=slopes, minlength=count).astype(np.float32)
    steep = slopes > (_SHARP * gradient_sum / np.maximum(perimeter, 1))[component]
    sharp = np.bincount(component[steep & off_border], minlength=count)
    share = (sharp / np.maximum(perimeter - border_contact, 1)).astype(np.float32)
    return perimeter, border_contact, gradient_sum, share


def _label_runs(mask: Mask) -> _Runs:
    """Return the runs of a mask, numbered by the component that they belong to."""
    width = mask.shape[1] + 2
    padded = np.zeros((mask.shape[0], width), bool)
    padded[:, 1:-1] = mask
    flat = padded.ravel()
    # Rows begin and end empty, so that starts and ends of runs take turns.
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, ends = changes[::2], changes[1::2]
    # A run touches those of the row above that overlap it or meet its corners.
    first = np.searchsorted(ends, starts - width - 1, side="right")
    last = np.searchsorted(starts, ends - width + 1, side="left")
    touching = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(starts)), touching)
    skipped = np.repeat(np.cumsum(touching) - touching, touching)
    above = np.repeat(first, touching) + np.arange(len(below)) - skipped
    roots = _merge_labels(len(starts), below, above)
    # A component is numbered by its first run, which is its root.
    component = (np.cumsum(roots == np.arange(len(roots))) - 1)[roots]
    return _Runs(component, ends - starts, starts // width, starts % width - 1)


def _merge_labels(count: int, one: Ints, other: Ints) -> Ints:
    """Return the least label connected to each of `count` labels, by the pairs (one, other)."""
    root = np.arange(count)
    while True:
        a, b = root[one], root[other]
        different = a != b
        if not different.any():
            return root
        least = np.minimum(a, b)[different]
        np.minimum.at(root, a[different], least)
        np.minimum.at(root, b[different], least)
        # Follow the labels to the least one of each chain.
        while not np.array_equal(shorter := root[root], root):
            root = shorter
