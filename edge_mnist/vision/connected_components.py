"""What hangs together in a mask, and how much of it looks like a pen's stroke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .foreground import Floats, Mask

    Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Components:
    """The 8-connected parts of a mask, n in all; `labels` (h, w) is -1 where there is none.

    `boxes` is (n, 4): left, top, right, bottom, the last two exclusive. `area`, `outline` and
    `contact` count pixels: all, on the outline, on the picture's edge. `energy` sums how steep
    the picture is along the outline; `sharp` is the share of the outline, away from the picture's
    edge, that is at least 0.4 times as steep as its mean.
    """

    labels: Ints
    boxes: Ints
    area: Ints
    outline: Ints
    contact: Ints
    energy: Floats
    sharp: Floats

    def __len__(self) -> int:
        return len(self.area)

    @property
    def sides(self) -> Ints:
        """The longer side of each box."""
        longer: Ints = np.maximum(
            self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1]
        )
        return longer


def label(mask: Mask, steep: Floats, *, least: int) -> Components:
    """Return the parts of `mask` (h, w) of `least` pixels and more."""
    runs, lengths, rows, starts = _runs(mask)
    count = int(runs.max()) + 1 if len(runs) else 0
    area = np.bincount(runs, weights=lengths, minlength=count).astype(np.intp)
    number = np.where(area >= least, np.cumsum(area >= least) - 1, -1)
    labels = np.full(mask.shape, -1, np.intp)
    labels[mask] = np.repeat(number[runs] if count else runs, lengths)
    kept = int((area >= least).sum())
    which = number[runs] >= 0 if count else np.zeros(0, bool)
    of, rows, starts, lengths = number[runs[which]], rows[which], starts[which], lengths[which]
    boxes = np.empty((kept, 4), np.intp)
    boxes[:, :2], boxes[:, 2:] = max(mask.shape), 0
    np.minimum.at(boxes[:, 0], of, starts)
    np.minimum.at(boxes[:, 1], of, rows)
    np.maximum.at(boxes[:, 2], of, starts + lengths)
    np.maximum.at(boxes[:, 3], of, rows + 1)
    inner = mask.copy()
    inner[0] = inner[-1] = inner[:, 0] = inner[:, -1] = False
    edge = inner.copy()
    inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    outline = mask & ~inner & (labels >= 0)
    on, slopes = labels[outline], steep[outline]
    count_on = np.bincount(on, minlength=kept)
    energy = np.bincount(on, weights=slopes, minlength=kept).astype(np.float32)
    contact = np.bincount(labels[outline & ~edge], minlength=kept)
    steep_on = slopes > (0.4 * energy / np.maximum(count_on, 1))[on]
    sharp = np.bincount(on[steep_on & edge[outline]], minlength=kept)
    return Components(
        labels,
        boxes,
        area[area >= least],
        count_on,
        contact,
        energy,
        (sharp / np.maximum(count_on - contact, 1)).astype(np.float32),
    )


def _runs(mask: Mask) -> tuple[Ints, Ints, Ints, Ints]:
    """The part that each run of a row belongs to, its length, its row and its first column."""
    width = mask.shape[1] + 2
    flat = np.zeros((mask.shape[0], width), np.int8)
    flat[:, 1:-1] = mask
    change = np.diff(flat.ravel(), prepend=0)
    starts, ends = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    # A run touches those of the row above that overlap it, or its corners.
    low = np.searchsorted(ends, starts - width - 1, side="right")
    high = np.searchsorted(starts, ends - width + 1, side="left")
    touching = np.maximum(high - low, 0)
    below = np.repeat(np.arange(len(starts)), touching)
    first = np.repeat(np.cumsum(touching) - touching, touching)
    above = np.repeat(low, touching) + np.arange(len(below)) - first
    roots = _joined(len(starts), below, above)
    return (
        np.unique(roots, return_inverse=True)[1],
        ends - starts,
        starts // width,
        (starts % width - 1),
    )


def _joined(count: int, one: Ints, other: Ints) -> Ints:
    """The least number among all that are joined, for each of `count`."""
    root = np.arange(count)
    while True:
        a, b = root[one], root[other]
        apart = a != b
        if not apart.any():
            return root
        least = np.minimum(a, b)[apart]
        np.minimum.at(root, a[apart], least)
        np.minimum.at(root, b[apart], least)
        while True:
            shorter = root[root]
            if np.array_equal(shorter, root):
                break
            root = shorter
