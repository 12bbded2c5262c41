"""Locate the only digit of a page: the strokes that explain most of its sharp edges.

Every hypothesis of the foreground is scored as a whole. The best one has the most and steepest
edges: shadows are soft, tables touch the picture's border, specks are short.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ..errors import NoDigitError
from .arrays import Box, Floats, Grey, Ints, Mask
from .foreground import bounding_box, choose_channel, dilate_mask, erode, extract_strokes
from .grouping import group_around
from .hypotheses import (
    MIN_CONTRAST,
    Hypothesis,
    generate_hypotheses,
    likeliest_hypothesis,
    strongest_response,
)
from .normalization import stroke_width

# Pixels of the longer side that is searched; smaller pages are enlarged to the second. A pen's line
# is then about a pixel wide.
_SEARCHED_SIDE, _MIN_SEARCHED_SIDE = 288, 160
# Pixels: a longer page is a photograph. Its digit may be a thirtieth of it, so more are searched.
_PHOTOGRAPH_SIDE, _SEARCHED_PHOTOGRAPH_SIDE = 800, 400
# Pixels of the longer side that is searched quickly; of the smallest digit found so.
_QUICK_SIDE, _MIN_QUICK_DIGIT = 200, 8
# Share of the digit's score: if another component has more, the full search decides.
_MAX_OTHER_SCORE = 0.1
# Searched pixels: a digit smaller than this is searched again, enlarged to that.
_SMALL_DIGIT, _ENLARGED_DIGIT = 80, 110
# Shares of the digit's longer side: the margin of the second search.
_MARGIN = 0.8
# Intersection over union: more says that both searches located the same digit.
_SAME_DIGIT = 0.5
# Stroke width as a share of the digit's longer side: more is a blob. A disc has 0.5.
_MAX_STROKE_WIDTH = 0.42
# Stroke length in longer sides of the digit. Of 6,000 digits of MNIST the longest has 3.6.
_MAX_STROKE_LENGTH = 4.2
# Nobody writes a longer one: it is noise, or the weave of a cloth.
_MIN_TEXTURE_LENGTH = 12.0
# A neighbour overlaps the digit's height by this share of the taller of both, and has at least this
# share of its score.
_MIN_ROW_OVERLAP, _MIN_NEIGHBOUR_SCORE = 0.5, 0.1
# A digit smaller than this share of the picture is a speck among more than so many others.
_MAX_SPECKS, _MAX_SPECK_SIDE = 12, 0.06


@dataclass(frozen=True)
class View:
    """A resized part of a page: pixel (x, y) lies at (left + x * scale, top + y * scale) there."""

    image: Image.Image
    left: float
    top: float
    scale: float

    def to_page(self, box: Box) -> Box:
        """Return a box of the view in pixels of the page."""
        left, top, right, bottom = (value * self.scale for value in box)
        return left + self.left, top + self.top, right + self.left, bottom + self.top


@dataclass(frozen=True, eq=False)
class Candidate:
    """A digit's foreground (h, w) in [0, 1], cut out closely, and its box in pixels of the page.

    `locate_digit` also says whether other marks of its size stand in its row.
    """

    foreground: Floats
    box: Box
    has_neighbours: bool = False

    @property
    def aspect(self) -> float:
        """Width / height of the foreground."""
        height, width = self.foreground.shape
        return float(width / height)

    @property
    def longer_side(self) -> float:
        """The longer side of the box, in pixels of the page."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


def locate_digit(page: Image.Image) -> Candidate:
    """Return the digit on a page (L or RGB).

    Raises:
        NoDigitError: the page is empty, or nothing on it is like a stroke.
    """
    photograph = max(page.size) > _PHOTOGRAPH_SIDE
    side = _SEARCHED_PHOTOGRAPH_SIDE if photograph else _SEARCHED_SIDE
    view = downscale_page(page, side)
    hypothesis, members = choose_hypothesis(view)
    candidate = crop_digit(view, hypothesis, members)
    if candidate.longer_side < _SMALL_DIGIT * max(page.size) / side:
        candidate = _locate_again(page, candidate, dark=hypothesis.dark)
    _check_stroke_length(candidate.foreground)
    return replace(candidate, has_neighbours=_has_neighbours(hypothesis, members))


def locate_likely_digit(small: Image.Image) -> Candidate | None:
    """Return the digit of the likeliest hypothesis alone; None if its evidence is not clear.

    Args:
        small: a page's small image (L or RGB).
    """
    view = downscale_page(small, _QUICK_SIDE)
    grey = choose_channel(view.image)
    hypothesis = likeliest_hypothesis(grey)
    if hypothesis is None:
        return None
    components, scores = hypothesis.components, hypothesis.scores
    main = int(scores.argmax())
    members = group_around(components, main)
    others = np.ones(len(scores), bool)
    others[members] = False
    if (
        components.border_contact[members].any()
        or scores[others].max(initial=0) > _MAX_OTHER_SCORE * scores[main]
        or components.longer_sides[main] < _MIN_QUICK_DIGIT
        or _plausibility(hypothesis, main, grey) < 1
    ):
        return None
    try:
        candidate = crop_digit(view, hypothesis, members)
        _check_stroke_length(candidate.foreground)
    except NoDigitError:
        return None
    return None if _has_neighbours(hypothesis, members) else candidate


def _has_neighbours(hypothesis: Hypothesis, members: Ints) -> bool:
    """Whether another component beside the digit is of its height, in its row and as clear."""
    boxes, scores = hypothesis.components.boxes, hypothesis.scores
    left, top = boxes[members, :2].min(axis=0)
    right, bottom = boxes[members, 2:].max(axis=0)
    heights = boxes[:, 3] - boxes[:, 1]
    overlap = np.minimum(boxes[:, 3], bottom) - np.maximum(boxes[:, 1], top)
    beside = (boxes[:, 0] >= right) | (boxes[:, 2] <= left)
    beside &= overlap > _MIN_ROW_OVERLAP * np.maximum(heights, bottom - top)
    beside &= scores > _MIN_NEIGHBOUR_SCORE * scores[members].max()
    return bool(beside.any())


def _locate_again(page: Image.Image, candidate: Candidate, *, dark: bool) -> Candidate:
    """Return a small digit as located in an enlarged part of the page, if that finds the same."""
    view = enlarge_around(page, candidate.box)
    try:
        enlarged = crop_digit(view, *choose_hypothesis(view, (dark,)))
    except NoDigitError:
        return candidate
    return enlarged if is_same_digit(enlarged.box, candidate.box) else candidate


def enlarge_around(page: Image.Image, box: Box) -> View:
    """Return a part of a page round a small digit, with a margin, enlarged."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    margin = _MARGIN * side
    outer = left - margin, top - margin, right + margin, bottom + margin
    return crop_page(page, outer, _ENLARGED_DIGIT / side)


def _check_stroke_length(foreground: Floats) -> None:
    """Raise NoDigitError for a tangle of strokes."""
    area, width = float(foreground.sum()), max(stroke_width(foreground), 1e-6)
    length = area / width / max(foreground.shape)
    if length > _MIN_TEXTURE_LENGTH:
        raise NoDigitError("no stroke: noise or a texture")
    if length > _MAX_STROKE_LENGTH:
        raise NoDigitError(f"a tangle: a line {length:.1f} times as long as it is tall")


def downscale_page(page: Image.Image, side: int) -> View:
    """Return the whole page with a longer side of `side` pixels, a smaller one if it is small."""
    side = min(side, max(*page.size, _MIN_SEARCHED_SIDE))
    return crop_page(page, (0, 0, *page.size), side / max(page.size))


def crop_page(page: Image.Image, box: Box, zoom: float) -> View:
    """Return the part of a page in a box, cut off at the page's borders, `zoom` times as large."""
    left, top = max(int(box[0]), 0), max(int(box[1]), 0)
    right, bottom = min(int(box[2]) + 1, page.width), min(int(box[3]) + 1, page.height)
    is_part = (right - left, bottom - top) != page.size
    part = page.crop((left, top, right, bottom)) if is_part else page
    size = (max(round(part.width * zoom), 1), max(round(part.height * zoom), 1))
    # A box filter averages over all pixels when much is lost; bicubic keeps lines sharp.
    filter = Image.Resampling.BOX if zoom < 0.5 else Image.Resampling.BICUBIC
    return View(part.resize(size, filter), left, top, part.width / size[0])


def choose_hypothesis(
    view: View, polarities: tuple[bool, ...] = (True, False)
) -> tuple[Hypothesis, Ints]:
    """Return the best hypothesis of a view's foreground, and the components of its digit.

    Args:
        polarities: which to try: True for strokes darker than their background.

    Raises:
        NoDigitError: the view is empty, or nothing in it is like a stroke.
    """
    grey = choose_channel(view.image)
    best: tuple[Hypothesis, Ints] | None = None
    best_score = 0.0
    for hypothesis in generate_hypotheses(grey, polarities):
        if not len(hypothesis.components):
            continue
        main = int(hypothesis.scores.argmax())
        members = group_around(hypothesis.components, main)
        score = float(hypothesis.scores[members].sum())
        if score > best_score:
            score *= _plausibility(hypothesis, main, grey)
        if score > best_score:
            best, best_score = (hypothesis, members), score
    if best is None:
        contrast = max(strongest_response(grey, dark=dark) for dark in polarities)
        if contrast < 2 * MIN_CONTRAST:
            raise NoDigitError(f"no ink: contrast {contrast:.2f} of 1")
        raise NoDigitError("no stroke: noise or a texture")
    if _are_specks(best[0].components.longer_sides, best[1], max(grey.shape)):
        raise NoDigitError("no stroke: nothing but specks")
    return best


def _are_specks(sides: Ints, members: Ints, longer: int) -> bool:
    """Whether many components are about as large as a small digit."""
    largest = int(sides[members].max())
    return largest < _MAX_SPECK_SIDE * longer and (sides > 0.5 * largest).sum() > _MAX_SPECKS


def _plausibility(hypothesis: Hypothesis, main: int, grey: Grey) -> float:
    """Return a factor in [0, 1] for the main component, by the pixels in and around it."""
    left, top, right, bottom = (int(value) for value in hypothesis.components.boxes[main])
    component = hypothesis.components.labels[top:bottom, left:right] == main
    plausibility = 1.0
    if _has_solid_core(component):
        plausibility *= 0.3
    surroundings = _surroundings(grey, (left, top, right, bottom))
    if surroundings.size:
        response = hypothesis.response[top:bottom, left:right][component]
        inside = float(np.median(grey[top:bottom, left:right][component]))
        outside = float(np.median(surroundings))
        step = outside - inside if hypothesis.dark else inside - outside
        # The response is a share of this brightness, as in `top_hat`: at least 40 grey levels.
        available = max(outside if hypothesis.dark else 255 - outside, 40)
        # In uneven light a stroke still shows at least 0.4 of its response as a step.
        if step < 0.4 * float(np.median(response)) * available:
            plausibility *= 0.2
    return plausibility


def _has_solid_core(component: Mask) -> bool:
    """Whether a square of 0.36 of the longer side fits into a component: no stroke is so wide."""
    side = max(component.shape)
    padded = np.pad(component.view(np.uint8), side // 8 + 1)
    return bool(erode(padded, int(0.36 * side) | 1).any())


def _surroundings(grey: Grey, box: tuple[int, int, int, int]) -> Grey:
    """Return the pixels of a rectangle round a box, as far as it lies in the picture."""
    left, top, right, bottom = box
    margin = min(right - left, bottom - top) // 8 + 3
    left, top, right, bottom = left - margin, top - margin, right + margin, bottom + margin
    height, width = grey.shape
    lines = [grey[y, max(left, 0) : right] for y in (top, bottom - 1) if 0 <= y < height]
    lines += [grey[max(top, 0) : bottom, x] for x in (left, right - 1) if 0 <= x < width]
    return np.concatenate(lines) if lines else np.empty(0, np.uint8)


def crop_digit(view: View, hypothesis: Hypothesis, members: Ints) -> Candidate:
    """Return the foreground of some components, 1 where the response is as strong as in most."""
    components, response = hypothesis.components, hypothesis.response
    mask = np.isin(components.labels, members)
    foreground = extract_strokes(response, mask)
    foreground[~dilate_mask(mask, 2) | hypothesis.ruled_lines & ~mask] = 0
    left, top, right, bottom = box = bounding_box(foreground)
    width = 2 * components.area[members].sum() / components.perimeter[members].sum()
    if width / max(bottom - top, right - left) > _MAX_STROKE_WIDTH:
        raise NoDigitError("no stroke: a blob as wide as it is long")
    return Candidate(foreground[top:bottom, left:right], view.to_page(box))


def is_same_digit(one: Box, other: Box) -> bool:
    """Whether two boxes of one page overlap so far that they are of the same digit."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both > _SAME_DIGIT * (sum(areas) - both)
