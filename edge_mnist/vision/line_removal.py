"""Printed lines: found by how long and straight they are, taken out without cutting strokes.

A Hough transform of near-level lines (Hough 1962), and of near-upright ones by transposing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .foreground import grow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .foreground import Floats, Mask

_SLOPES = np.tan(np.deg2rad(np.arange(-8, 8.01, 0.5)))
# Every third column is enough to find a line.
_EVERY = 3
# A rule covers this much of the width; alone, this much: a digit's stroke may be long, too.
_COVERS, _ALONE = 0.5, 0.85
# A rule is thinner than this share of the longer side.
_THIN = 0.03
# Ink is so much stronger than the rule below it.
_STRONGER = 1.5


class _Line(NamedTuple):
    slope: float
    row: int  # at the middle column
    half: int  # of its thickness, in pixels


def take_out(mask: Mask, height: Floats) -> Mask:
    """Return `mask` (h, w) without its rules and squares; strokes that cross them stay whole."""
    bands = [_band(mask, height), _band(mask.T, height.T)]
    if bands[0] is None and bands[1] is None:
        return mask
    level, upright = (
        np.zeros_like(mask) if band is None else (band if number == 0 else band.T)
        for number, band in enumerate(bands)
    )
    rest = mask & ~level & ~upright
    return rest | (mask & (level | upright) & grow(rest, 2))


def _band(mask: Mask, height: Floats) -> Mask | None:
    """Return the pixels of near-level rules, those of crossing ink left out; None without any."""
    lines = _lines(mask)
    if not lines:
        return None
    rows, columns = mask.shape
    offsets = np.arange(columns) - columns // 2
    band = np.zeros_like(mask)
    for line in lines:
        middle = line.row + np.rint(line.slope * offsets).astype(np.intp)
        place = middle + np.arange(-line.half, line.half + 1)[:, np.newaxis]
        at = np.clip(place, 0, rows - 1), np.arange(columns)[np.newaxis]
        on = np.where(mask[at], height[at], 0)
        # Column by column the rule's core; ink lies over fewer than half of them.
        peaks = on.max(axis=0)
        level = float(np.median(peaks[peaks > 0])) if peaks.any() else 0.0
        weak = (on > 0) & (on < _STRONGER * level) & (place >= 0) & (place < rows)
        band[at[0][weak], np.broadcast_to(at[1], place.shape)[weak]] = True
    return band


def _lines(mask: Mask) -> list[_Line]:
    rows, columns = mask.shape
    thin = mask[:, ::_EVERY]
    y, x = np.nonzero(thin)
    offsets = x * _EVERY - columns // 2
    reach = int(np.ceil(_SLOPES[-1] * columns / 2)) + 2
    counts = (
        np.stack(
            [
                np.bincount(
                    y - np.rint(slope * offsets).astype(np.intp) + reach, minlength=rows + 2 * reach
                )
                for slope in _SLOPES
            ]
        ).astype(np.float32)
        / thin.shape[1]
    )
    found = _peaks(counts, reach, rows, thickest=max(3, int(_THIN * max(mask.shape))))
    if len(found) < 2:
        found = [line for line in found if counts[_index(line, reach)] > _ALONE]
    return found


def _index(line: _Line, reach: int) -> tuple[int, int]:
    return int(np.abs(_SLOPES - line.slope).argmin()), line.row + reach


def _peaks(counts: NDArray[np.float32], reach: int, rows: int, *, thickest: int) -> list[_Line]:
    angles, places = np.nonzero(counts > _COVERS)
    order = np.argsort(-counts[angles, places], kind="stable")
    lines: list[_Line] = []
    taken = np.zeros(counts.shape[1], bool)
    for angle, place in zip(angles[order], places[order], strict=True):
        if taken[place]:
            continue
        profile = counts[angle] > _COVERS / 2
        low, high = int(place), int(place)
        while low > 0 and profile[low - 1]:
            low -= 1
        while high + 1 < len(profile) and profile[high + 1]:
            high += 1
        taken[max(low - 3, 0) : high + 4] = True
        if high - low < thickest and 0 <= place - reach < rows:
            middle = (low + high) // 2
            lines.append(_Line(float(_SLOPES[angle]), middle - reach, (high - low + 1) // 2 + 1))
    return lines
