"""Several digits in one picture, such as a postcode: picture in, an image of each digit out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from . import localization
from .arrays import Box, Floats, Grey, Ints
from .connected_components import Components, label_components
from .decode import Picture, open_page
from .foreground import (
    bounding_box,
    choose_channel,
    dilate_mask,
    extract_strokes,
    gradient_magnitude,
    top_hat,
)
from .grouping import Group, group_components, join_bars
from .hypotheses import MIN_CONTRAST, Hypothesis, generate_hypotheses
from .line_removal import find_ruled_lines
from .localization import Candidate, View
from .normalization import normalize
from .preprocess import fit
from .segmentation import Read, may_touch, split_touching

if TYPE_CHECKING:
    from ..bundle.model_spec import ModelSpec

# Pixels: the longer side that is searched first; the height to which the second search enlarges
# digits; the longer side to which it enlarges the part of the page that holds them, at most.
_SEARCHED_SIDE, _ENLARGED_DIGIT, _MAX_ENLARGED_SIDE = 480, 70, 1600
# Median heights of a digit: the margin of the second search.
_MARGIN = 0.6
# A second search needs at least this enlargement; less shows nothing new.
_MIN_ZOOM = 1.1
# Shares of the best component's longer side and score: others that are like digits.
_MIN_SIDE, _MIN_SCORE = 0.3, 0.02
# Components compared with their surroundings: they differ by this share of their response, which is
# a share of the paper's brightness, or of at least 40 grey levels.
_COMPARED, _MIN_STEP, _MIN_AVAILABLE = 6, 0.4, 40.0
# Share of the compared components that differ; fewer are grain.
_MIN_DIFFERENT = 0.3
# Share of a digit's height, and stroke widths: the window of the second search is wider than both.
_WINDOW, _WINDOW_IN_STROKES = 0.35, 3.5
# Share of the strongest 1 % of responses that a stroke has; pixels of the smallest component.
_MIN_RESPONSE, _MIN_AREA = 0.35, 8
# Mean stroke width as a share of the longer side: more is a blob. A disc has 0.5.
_MAX_STROKE_WIDTH = 0.42


class LocatedDigit(NamedTuple):
    """A digit in a picture.

    Attributes:
        image: uint8 of `spec.shape`, as `preprocess.fit` returns it.
        box: left, top, right, bottom in pixels of the upright picture; right, bottom excluded.
    """

    image: Grey
    box: tuple[int, int, int, int]


def read_digits(picture: Picture, *, spec: ModelSpec, read: Read) -> list[LocatedDigit]:
    """Return the digits of a picture, left to right, and line after line from the top.

    Args:
        picture: as for `preprocess.preprocess`.
        spec: input of a model of grey digits.
        read: the model's probabilities (n, 10) for images (n, *spec.shape). It is called to split
            digits that touch.

    Returns:
        One LocatedDigit a digit; an empty list if the picture holds none.

    Raises:
        ImageError: the picture cannot be read, or is too large.
    """
    page = open_page(picture)
    candidates = _sort_by_line(_locate_digits(page.image))
    digits = []
    pieces = split_candidates(candidates, spec=spec, read=read)
    for digit, image in itertools.chain(*pieces):
        left, top, right, bottom = (round(value * page.scale) for value in digit.box)
        digits.append(LocatedDigit(image, (left, top, right, bottom)))
    return digits


def split_candidates(
    candidates: Sequence[Candidate], *, spec: ModelSpec, read: Read
) -> list[list[tuple[Candidate, Grey]]]:
    """Return the digits of each candidate, mostly itself alone, and the model's image of each."""
    if not candidates:
        return []
    images = _fit(candidates, spec)
    confidences = read(images).max(axis=1).tolist()
    digits: list[list[tuple[Candidate, Grey]]] = []
    for candidate, image, confidence in zip(candidates, images, confidences, strict=True):
        digits.append([(candidate, image)])
        if may_touch(candidate, confidence):
            pieces = split_touching(candidate, lambda pieces: read(fit(pieces, spec)))
            if pieces:
                own = fit(np.array([piece.image for piece in pieces]), spec)
                digits[-1] = [(one.candidate, own[index]) for index, one in enumerate(pieces)]
    return digits


def _fit(candidates: Sequence[Candidate], spec: ModelSpec) -> Grey:
    """Return the model's images of candidates, (n, *spec.shape)."""
    return fit(np.array([normalize(candidate.foreground) for candidate in candidates]), spec)


def _locate_digits(page: Image.Image) -> list[Candidate]:
    """Return the digits of a page; a second, enlarged search counts if it finds no fewer."""
    view = localization.downscale_page(page, _SEARCHED_SIDE)
    hypothesis = _choose_hypothesis(view)
    groups = _group(hypothesis.components, hypothesis.scores) if hypothesis else []
    if hypothesis is None or not groups:
        return []
    boxes = [view.to_page(box) for _, box in groups]
    corners = np.array(boxes)
    height = float(np.median(corners[:, 3] - corners[:, 1]))
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    low, high = low - _MARGIN * height, high + _MARGIN * height
    zoom = min(_ENLARGED_DIGIT / height, _MAX_ENLARGED_SIDE / float((high - low).max()))
    if zoom * view.scale >= _MIN_ZOOM:
        left, top, right, bottom = (float(value) for value in (*low, *high))
        enlarged = localization.crop_page(page, (left, top, right, bottom), zoom)
        found = _search_again(enlarged, hypothesis, boxes, zoom * view.scale)
        if len(found) >= len(groups):
            return found
    return [
        crop_group(view, hypothesis.components, hypothesis.response, members)
        for members, _ in groups
    ]


def _choose_hypothesis(view: View) -> Hypothesis | None:
    """Return the hypothesis with the most components that are like digits, if any are."""
    grey = choose_channel(view.image)
    best, most = None, 0.0
    for hypothesis in generate_hypotheses(grey, (True, False)):
        value = _digit_likeness(hypothesis)
        if value > most:
            value *= _contrast_with_surroundings(hypothesis, grey)
        if value > most:
            best, most = hypothesis, value
    return best


def _digit_likeness(hypothesis: Hypothesis) -> float:
    """Return the sum of scores, without those of specks."""
    components, scores = hypothesis.components, hypothesis.scores
    if not len(components):
        return 0.0
    largest = int(components.longer_sides[int(scores.argmax())])
    strokes = (components.longer_sides > _MIN_SIDE * largest) & (scores > _MIN_SCORE * scores.max())
    return float(scores[strokes].sum())


def _contrast_with_surroundings(hypothesis: Hypothesis, grey: Grey) -> float:
    """Return the share of the best components that differ from the pixels round their box.

    The paper inside a 0, or between two digits, is enclosed by the same paper.
    """
    components, differ = hypothesis.components, []
    for number in np.argsort(-hypothesis.scores, kind="stable")[:_COMPARED].tolist():
        left, top, right, bottom = components.boxes[number].tolist()
        inside = components.labels[top:bottom, left:right] == number
        margin = min(right - left, bottom - top) // 8 + 3
        rows = np.clip((top - margin, bottom - 1 + margin), 0, grey.shape[0] - 1)
        columns = np.clip((left - margin, right - 1 + margin), 0, grey.shape[1] - 1)
        across = slice(columns[0], columns[1] + 1)
        ring = np.append(grey[rows, across], grey[rows[0] : rows[1] + 1, columns])
        paper, ink = float(np.median(ring)), np.median(grey[top:bottom, left:right][inside])
        step = float(paper - ink if hypothesis.dark else ink - paper)
        typical = float(np.median(hypothesis.response[top:bottom, left:right][inside]))
        available = max(paper if hypothesis.dark else 255 - paper, _MIN_AVAILABLE)
        differ.append(step > _MIN_STEP * typical * available)
    share = float(np.mean(differ))
    return share if share > _MIN_DIFFERENT else 0.0


def _search_again(
    view: View, hypothesis: Hypothesis, boxes: list[Box], enlargement: float
) -> list[Candidate]:
    """Return the digits of an enlarged view, at the places on the page where some were found."""
    grey = choose_channel(view.image)
    components = hypothesis.components
    stroke = enlargement * 2 * components.area.sum() / max(components.perimeter.sum(), 1)
    window = int(max(_WINDOW * _ENLARGED_DIGIT, _WINDOW_IN_STROKES * stroke)) | 1
    response, noise = top_hat(grey, window, dark=hypothesis.dark)
    places = np.zeros(grey.shape, bool)
    for left, top, right, bottom in boxes:
        # Pixels of the view, with one pixel of the first search to each side.
        x0, x1 = (int((x - view.left) / view.scale) for x in (left, right))
        y0, y1 = (int((y - view.top) / view.scale) for y in (top, bottom))
        reach = int(enlargement) + 1
        rows = slice(max(y0 - reach, 0), max(y1 + reach, 0))
        places[rows, max(x0 - reach, 0) : max(x1 + reach, 0)] = True
    typical = float(np.quantile(response[places][::4], 0.99)) if places.any() else 1.0
    mask = response > max(noise, MIN_CONTRAST, _MIN_RESPONSE * typical)
    if hypothesis.ruled_lines.any():
        mask &= ~find_ruled_lines(mask, response)
    components = label_components(mask & places, gradient_magnitude(grey), min_area=_MIN_AREA)
    return [
        crop_group(view, components, response, members)
        for members, _ in _group(components, components.gradient_sum)
    ]


def _group(components: Components, scores: Floats) -> list[Group]:
    """Return the digits among components, without blobs and what is much lower than most."""
    groups = group_components(components, scores)
    boxes = components.boxes
    heights = [boxes[g, 3].max() - boxes[g, 1].min() for g in groups]
    joined = join_bars(groups, boxes, float(np.median(heights)) if groups else 0.0)
    return [group for group in joined if not _is_blob(components, group)]


def _is_blob(components: Components, group: Group) -> bool:
    """Whether a group of components is nearly as wide as it is long."""
    members, (left, top, right, bottom) = group
    width = 2 * components.area[members].sum() / components.perimeter[members].sum()
    return bool(width > _MAX_STROKE_WIDTH * max(right - left, bottom - top))


def crop_group(view: View, components: Components, response: Floats, members: Ints) -> Candidate:
    """Return the foreground of some components, 1 where the response is as strong as in most."""
    left, top = np.maximum(components.boxes[members, :2].min(axis=0) - 2, 0).tolist()
    right, bottom = (components.boxes[members, 2:].max(axis=0) + 2).tolist()
    response = response[top:bottom, left:right]
    mask = np.isin(components.labels[top:bottom, left:right], members)
    foreground = extract_strokes(response, mask)
    others = (components.labels[top:bottom, left:right] >= 0) & ~mask
    foreground[others | ~dilate_mask(mask, 1)] = 0
    x0, y0, x1, y1 = bounding_box(foreground)
    box = view.to_page((left + x0, top + y0, left + x1, top + y1))
    return Candidate(foreground[y0:y1, x0:x1], box)


def _sort_by_line(candidates: list[Candidate]) -> list[Candidate]:
    """Sort left to right within a line; a digit that begins above a line's middle belongs to it."""
    lines: list[list[Candidate]] = []
    for candidate in sorted(candidates, key=lambda one: one.box[1]):
        for line in lines:
            middle = float(np.mean([(other.box[1] + other.box[3]) / 2 for other in line]))
            if candidate.box[1] < middle:
                line.append(candidate)
                break
        else:
            lines.append([candidate])
    return [one for line in lines for one in sorted(line, key=lambda one: one.box[0])]
