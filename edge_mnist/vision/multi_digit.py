"""Several digits in one picture, such as a postcode: picture in, an image of each digit out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from ..errors import NoDigitError
from . import localization
from .arrays import Grey
from .decode import Picture, open_page
from .grouping import group_components
from .hypotheses import Hypothesis
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
# Share of the median height: hyphens, dots and commas are lower.
_MIN_HEIGHT = 0.4


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
    try:
        candidates = _sort_by_line(_locate_digits(page.image))
    except NoDigitError:
        return []
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
        pieces = [candidate]
        if may_touch(candidate, confidence):
            pieces = split_touching(candidate, lambda pieces: read(fit(pieces, spec)))
        own = image[np.newaxis] if len(pieces) == 1 else _fit(pieces, spec)
        digits.append(list(zip(pieces, own, strict=True)))
    return digits


def _fit(candidates: Sequence[Candidate], spec: ModelSpec) -> Grey:
    """Return the model's images of candidates, (n, *spec.shape)."""
    return fit(np.array([normalize(candidate.foreground) for candidate in candidates]), spec)


def _locate_digits(page: Image.Image) -> list[Candidate]:
    """Return the digits of a page; a second, enlarged search counts if it finds no fewer."""
    view = localization.downscale_page(page, _SEARCHED_SIDE)
    hypothesis, _ = localization.choose_hypothesis(view)
    candidates = _crop_digits(view, hypothesis)
    boxes = np.array([candidate.box for candidate in candidates])
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    low, high = low - _MARGIN * height, high + _MARGIN * height
    zoom = min(_ENLARGED_DIGIT / height, _MAX_ENLARGED_SIDE / float((high - low).max()))
    if zoom * view.scale < _MIN_ZOOM:
        return candidates
    left, top, right, bottom = (float(value) for value in (*low, *high))
    view = localization.crop_page(page, (left, top, right, bottom), zoom)
    try:
        enlarged_hypothesis, _ = localization.choose_hypothesis(view, (hypothesis.dark,))
        enlarged = _crop_digits(view, enlarged_hypothesis)
    except NoDigitError:
        return candidates
    return enlarged if len(enlarged) >= len(candidates) else candidates


def _crop_digits(view: View, hypothesis: Hypothesis) -> list[Candidate]:
    """Return every digit of a view; groups that are blobs or much lower than most are left out."""
    candidates = []
    for members in group_components(hypothesis.components, hypothesis.scores):
        try:
            candidates.append(localization.crop_digit(view, hypothesis, members))
        except NoDigitError:
            continue
    if not candidates:
        raise NoDigitError("no stroke: nothing but blobs and specks")
    heights = np.array([candidate.box[3] - candidate.box[1] for candidate in candidates])
    tall = heights > _MIN_HEIGHT * float(np.median(heights))
    return [candidate for candidate, kept in zip(candidates, tall, strict=True) if kept]


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
