"""The digit in a picture: the strokes that explain most of its sharp edges.

What is ink is not known beforehand: dark or light, thin or thick, strong or faint. Each
possibility is tried as a whole, and the one is taken whose strokes have most edge, and steepest:
shadows are soft, tables touch the picture's edge, specks are short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import NoDigitError
from . import connected_components, foreground, line_removal
from .connected_components import Components
from .normalization import stroke_width

if TYPE_CHECKING:
    from .foreground import Floats, Grey, Mask, Relief

    Ints = connected_components.Ints

Box = tuple[float, float, float, float]

# The longer side of the picture that is searched: a pen's line is a pixel in a page, and a Pi
# is done in some hundredths of a second.
_SEARCHED, _LEAST_SEARCHED = 288, 160
# In a photograph the digit may be a thirtieth of the picture, and is searched at this size.
_PHOTOGRAPH, _SEARCHED_IN_PHOTOGRAPH = 800, 400
# A digit smaller than this in there is looked at again, enlarged to so many pixels.
_SMALL, _ENLARGED = 80, 110
# Ink must stand out from the paper by this share: pencil does by 0.15 and more.
LEAST_CONTRAST = 0.06
# Windows of the ground, in shares of the longer side: for pens, for markers, for whole crops.
_WINDOWS = (0.05, 0.15, 0.45)
# The fewest pixels of a stroke, and its least length in shares of the picture's longer side.
_LEAST_AREA, _LEAST_SIDE = 8, 0.02
# A stroke's width is less than this share of the digit's longer side; a disc has 0.5.
_BLOB = 0.42
# The pen's way is this many times as long as the digit: of 6,000 digits of MNIST 3.6 at most.
_LONGEST = 4.2
# So many others as large as the digit, and it this small, in shares of the picture: all dirt.
_SPECKS, _SPECK_SIDE = 12, 0.06


@dataclass(frozen=True)
class View:
    """A part of a page, resized: pixel (x, y) of `image` is (left + x * scale, …) of the page."""

    image: Image.Image
    left: float
    top: float
    scale: float

    def on_page(self, box: Ints) -> Box:
        """Return a box of the view in pixels of the page."""
        left, top, right, bottom = (float(value) * self.scale for value in box)
        return left + self.left, top + self.top, right + self.left, bottom + self.top


@dataclass(frozen=True)
class Candidate:
    """A digit: its ink (h, w) in [0, 1], cut out, and where it was on the page, in pixels."""

    ink: Floats
    box: Box


@dataclass(frozen=True)
class Hypothesis:
    """One possibility of what is ink: its parts, with a score each."""

    dark: bool
    relief: Relief
    rules: Mask
    parts: Components
    scores: Floats


def digit(page: Image.Image) -> Candidate:
    """Return the digit on a page (L or RGB).

    Raises:
        NoDigitError: there is no ink, or nothing like a stroke.
    """
    size = _SEARCHED_IN_PHOTOGRAPH if max(page.size) > _PHOTOGRAPH else _SEARCHED
    found, dark = _digit(whole(page, size))
    width, height = found.box[2] - found.box[0], found.box[3] - found.box[1]
    longer = max(width, height)
    if longer >= _SMALL * max(page.size) / size:
        return _checked(found)
    margin = 0.8 * longer
    near = view(page, _grown(found.box, margin), _ENLARGED / longer)
    try:
        again, _ = _digit(near, (dark,))
    except NoDigitError:
        return _checked(found)
    return _checked(again if _overlap(again.box, found.box) > 0.5 else found)


def _checked(found: Candidate) -> Candidate:
    """Refuse a tangle of strokes."""
    width = stroke_width(found.ink)
    length = float(found.ink.sum()) / max(width, 1e-6) / max(found.ink.shape)
    if length > _LONGEST:
        raise NoDigitError(f"no digit: a line {length:.1f} times as long as it is tall")
    return found


def whole(page: Image.Image, size: int = _SEARCHED) -> View:
    """Return the page with its longer side `size` pixels, or what a small one is enlarged to."""
    size = min(size, max(*page.size, _LEAST_SEARCHED))
    return view(page, (0, 0, *page.size), size / max(page.size))


def view(page: Image.Image, box: Box, zoom: float) -> View:
    """Return the part of a page in a box, cut off at its edges, `zoom` times as large."""
    left, top = max(int(box[0]), 0), max(int(box[1]), 0)
    right, bottom = min(int(box[2]) + 1, page.width), min(int(box[3]) + 1, page.height)
    cut_out = (right - left, bottom - top) != page.size
    part = page.crop((left, top, right, bottom)) if cut_out else page
    size = (max(round(part.width * zoom), 1), max(round(part.height * zoom), 1))
    way = Image.Resampling.BOX if zoom < 0.5 else Image.Resampling.BICUBIC
    return View(part.resize(size, way), left, top, part.width / size[0])


def _digit(place: View, polarities: tuple[bool, ...] = (True, False)) -> tuple[Candidate, bool]:
    """Return the digit in a view, and whether its ink is dark."""
    hypothesis, members = best(place, polarities)
    return cut(place, hypothesis, members), hypothesis.dark


def best(place: View, polarities: tuple[bool, ...] = (True, False)) -> tuple[Hypothesis, Ints]:
    """Return what is ink in a view, and the parts that are the digit.

    Raises:
        NoDigitError: there is no ink, or nothing like a stroke.
    """
    chosen: tuple[float, Hypothesis, Ints] | None = None
    shade = foreground.grey(place.image, blur=0.8)
    contrast = 0.0
    for hypothesis in hypotheses(shade, polarities):
        contrast = max(contrast, float(hypothesis.relief.height[::2, ::2].max()))
        if not len(hypothesis.parts):
            continue
        main = int(hypothesis.scores.argmax())
        members = _together(hypothesis.parts, main)
        score = float(hypothesis.scores[members].sum())
        if chosen is not None and score <= chosen[0]:
            continue
        score *= _likeness(hypothesis, main, shade)
        if chosen is None or score > chosen[0]:
            chosen = score, hypothesis, members
    if chosen is None or chosen[0] <= 0:
        if contrast < 2 * LEAST_CONTRAST:
            raise NoDigitError(f"no ink: contrast {contrast:.2f} of 1")
        raise NoDigitError("no stroke: nothing but specks")
    sides = chosen[1].parts.sides
    largest = int(sides[chosen[2]].max())
    if largest < _SPECK_SIDE * max(shade.shape) and (sides > 0.5 * largest).sum() > _SPECKS:
        raise NoDigitError("no stroke: nothing but specks")
    return chosen[1], chosen[2]


def _likeness(hypothesis: Hypothesis, main: int, shade: Grey) -> float:
    """Less than 1 for a part that holds a wide even area, or whose surroundings are as itself."""
    parts = hypothesis.parts
    left, top, right, bottom = (int(value) for value in parts.boxes[main])
    side = max(right - left, bottom - top)
    own = parts.labels[top:bottom, left:right] == main
    likeness = 1.0
    if foreground.erode(np.pad(own.view(np.uint8), side // 8 + 1), int(0.36 * side) | 1).any():
        likeness *= 0.3
    around = min(right - left, bottom - top) // 8 + 3
    rows, columns = shade.shape
    up, down, far, near = top - around, bottom + around, right + around, left - around
    ring = [shade[at, max(near, 0) : far] for at in (up, down - 1) if 0 <= at < rows]
    ring += [shade[max(up, 0) : down, at] for at in (near, far - 1) if 0 <= at < columns]
    if ring:
        inked = float(np.median(shade[top:bottom, left:right][own]))
        beyond = float(np.median(np.concatenate(ring)))
        step = beyond - inked if hypothesis.dark else inked - beyond
        # Uneven light moves both; half of what the ink stands out by is the least.
        room = beyond if hypothesis.dark else 255 - beyond
        level = float(np.median(hypothesis.relief.height[top:bottom, left:right][own]))
        if step < 0.4 * level * max(room, 40):
            likeness *= 0.2
    return likeness


def hypotheses(shade: Grey, polarities: tuple[bool, ...]) -> Iterator[Hypothesis]:
    """Yield every possibility of what is ink."""
    steep = foreground.slope(shade)
    longer = max(shade.shape)
    for dark in polarities:
        printed = np.zeros(shade.shape, bool)
        for number, share in enumerate(_WINDOWS):
            relief = foreground.relief(shade, int(longer * share) | 1, dark=dark)
            low = max(relief.noise, LEAST_CONTRAST)
            mask = relief.height > low
            if number == 0:
                printed = mask & ~line_removal.take_out(mask, relief.height)
            mask &= ~printed
            above = relief.height[mask]
            if above.size < _LEAST_AREA:
                continue
            levels = (low, max(_otsu(above), low))
            for level, trust in zip(levels, (0.9, 1.0), strict=True):
                parts = connected_components.label(
                    (relief.height > level) & ~printed, steep, least=_LEAST_AREA
                )
                scores = _scores(parts, shade) * np.float32(trust * (1 - 0.04 * number))
                if number < len(_WINDOWS) - 1:
                    # Of a stroke nearly as wide as the window some has become ground.
                    widths = 2 * parts.area / np.maximum(parts.outline, 1)
                    scores[widths > 0.4 * share * longer] *= 0.5
                yield Hypothesis(dark, relief, printed, parts, scores)


def _scores(parts: Components, shade: Grey) -> Floats:
    """How much each part looks like the digit meant: edges, less what speaks against them."""
    height, width = shade.shape
    outline = np.maximum(parts.outline, 1)
    inside = np.clip(1 - 2.2 * parts.contact / outline, 0, 1) ** 2
    boxes = parts.boxes.astype(np.float32)
    wide, tall = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x = (boxes[:, 0] + boxes[:, 2]) / width - 1
    y = (boxes[:, 1] + boxes[:, 3]) / height - 1
    central = 1 - 0.4 * np.minimum(np.hypot(x, y), 1)
    pen = np.where(2 * parts.area / outline / parts.sides > 0.33, 0.5, 1.0)
    flat = np.where(wide > 4 * tall, 0.1, 1.0)
    # The paper between two rules runs across the whole picture.
    flat[(wide > 0.98 * width) & (wide > 1.5 * tall)] *= 0.05
    # Ground between strokes fills its surroundings more than a stroke does.
    around = 0.15 * parts.sides
    fill = np.where(parts.area > 0.36 * (wide + 2 * around) * (tall + 2 * around), 0.25, 1.0)
    short = np.where(parts.sides < _LEAST_SIDE * max(shade.shape), 0.0, 1.0)
    # Where a part ends without an edge it is a piece of something wider, or a shadow.
    edges = parts.energy * parts.sharp**3 * np.sqrt(parts.energy / outline)
    scores: Floats = (edges * inside * central * pen * flat * fill * short).astype(np.float32)
    return scores


def apart(parts: Components, scores: Floats) -> list[Ints]:
    """Return the parts of every digit, the likeliest first; no part belongs to two."""
    groups: list[Ints] = []
    free = np.ones(len(parts), bool)
    order = np.argsort(-scores, kind="stable")
    for main in order[scores[order] > 0.02 * scores.max(initial=0)]:
        if free[main] and parts.sides[main] > 0.3 * parts.sides[order[0]]:
            groups.append(_together(parts, int(main), free, beside=0.0))
            free[groups[-1]] = False
    return groups


def _together(
    parts: Components, main: int, free: Mask | None = None, *, beside: float = 0.12
) -> Ints:
    """Return the parts that make one digit with `main`: strokes near it, not specks or edges.

    Parts at its side may be `beside` of its longer side away.
    """
    members = [main]
    box = parts.boxes[main].copy()
    strength = parts.energy / np.maximum(parts.outline, 1)
    side = parts.sides[main]
    fit = (
        (parts.sides >= 0.12 * side)
        & (parts.area >= 0.03 * parts.area[main])
        & (parts.contact < 0.25 * parts.outline)
        & (strength > 0.35 * strength[main])
    )
    if free is not None:
        fit &= free
    fit[main] = False
    wide = parts.boxes[:, 2] - parts.boxes[:, 0]
    while True:
        side = max(box[2] - box[0], box[3] - box[1])
        apart_x = np.maximum(parts.boxes[:, 0] - box[2], box[0] - parts.boxes[:, 2])
        apart_y = np.maximum(parts.boxes[:, 1] - box[3], box[1] - parts.boxes[:, 3])
        near = fit & (apart_x <= beside * side) & (apart_y <= 0.25 * side)
        near &= parts.sides <= (1.6 if beside else 1.2) * side
        if not beside:
            # A whole digit leans over its neighbour; a part of one lies above or below it.
            near &= (apart_x < -0.5 * np.minimum(wide, box[2] - box[0])) | (
                parts.sides < 0.5 * side
            )
        if not near.any():
            return np.array(members)
        added = np.flatnonzero(near)
        members += added.tolist()
        fit[added] = False
        for one in parts.boxes[added]:
            box[:2], box[2:] = np.minimum(box[:2], one[:2]), np.maximum(box[2:], one[2:])


def cut(place: View, hypothesis: Hypothesis, members: Ints) -> Candidate:
    """Return the ink of some parts, full where it is as strong as in most of them."""
    parts, height = hypothesis.parts, hypothesis.relief.height
    own = np.isin(parts.labels, members)
    level = float(np.quantile(height[own], 0.7))
    soft = np.clip((height / level - 0.25) / 0.5, 0, 1)
    soft[~foreground.grow(own, 2) | hypothesis.rules & ~own] = 0
    left, top, right, bottom = foreground.extent(soft)
    area, outline = parts.area[members].sum(), parts.outline[members].sum()
    if 2 * area / outline / max(bottom - top, right - left) > _BLOB:
        raise NoDigitError("no stroke: a blob as wide as it is long")
    box = np.array([left, top, right, bottom])
    return Candidate(soft[top:bottom, left:right], place.on_page(box))


def _grown(box: Box, margin: float) -> Box:
    return box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def _otsu(values: Floats) -> float:
    """Return the threshold that best splits values in two (Otsu 1979: between-class variance)."""
    counts, edges = np.histogram(values, bins=64)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centres)
    means_below = sums[:-1] / np.maximum(below, 1)
    means_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    variance = below * above * (means_below - means_above) ** 2
    return float(edges[1:-1][variance.argmax()])
