"""Several digits in one picture: a postcode, a phone number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import NoDigitError
from . import localization, normalization, segmentation
from .decode import open_page

if TYPE_CHECKING:
    from PIL import Image

    from ..classifier import Classifier, Detection
    from .decode import Picture
    from .localization import Candidate, Hypothesis

# A row of digits is searched in a larger picture than one digit, and enlarged further.
_SEARCHED, _LARGEST, _TALL = 480, 1600, 70
# A hyphen, a dot or a comma is lower than this share of the other digits.
_LOW = 0.4
# What is read with more confidence is one digit; pieces with less are none of their own.
_SURE, _LIKELY = 0.9, 0.7


def read(classifier: Classifier, picture: Picture) -> list[Detection]:
    """Return the digits of a picture as a model reads them; `Classifier.predict_many` says more.

    Raises:
        ImageError: it cannot be read, or is too large.
    """
    page = open_page(picture)
    try:
        found = _in_lines(_all(page.image))
    except NoDigitError:
        return []
    return [one for whole in found for one in _read(classifier, whole, page.scale)]


def _read(classifier: Classifier, whole: Candidate, scale: float) -> list[Detection]:
    """Return what was found as one digit, or as several that touch."""
    one = _see(classifier, whole, scale)
    sure = _confidence(one) > _SURE and not segmentation.is_wide(whole)
    if sure or not segmentation.may_be_two(whole):
        return [one]
    pieces = segmentation.split(whole, lambda piece: _confidence(_see(classifier, piece, scale)))
    several = [_see(classifier, piece, scale) for piece in pieces]
    # A digit read badly may fall into pieces by chance.
    least = max(_confidence(one), _LIKELY)
    return several if all(_confidence(piece) > least for piece in several) else [one]


def _confidence(detection: Detection) -> float:
    prediction = detection.prediction
    return 0.0 if prediction.digit is None else prediction.confidence


def _see(classifier: Classifier, found: Candidate, scale: float) -> Detection:
    from ..classifier import Detection
    from .preprocess import fit

    image = fit(normalization.render(found.ink)[np.newaxis], classifier.spec)[0]
    left, top, right, bottom = (round(value * scale) for value in found.box)
    return Detection(classifier.predict(image), image, (left, top, right, bottom))


def _all(page: Image.Image) -> list[Candidate]:
    place = localization.whole(page, _SEARCHED)
    hypothesis, _ = localization.best(place)
    found = _cut_all(place, hypothesis)
    boxes = np.array([one.box for one in found])
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    low, high = boxes[:, :2].min(axis=0) - 0.6 * tall, boxes[:, 2:].max(axis=0) + 0.6 * tall
    zoom = min(_TALL / tall, _LARGEST / float((high - low).max()))
    if zoom * place.scale < 1.1:
        return found
    near = localization.view(
        page, (float(low[0]), float(low[1]), float(high[0]), float(high[1])), zoom
    )
    try:
        again = _cut_all(near, localization.best(near, (hypothesis.dark,))[0])
    except NoDigitError:
        return found
    return again if len(again) >= len(found) else found


def _cut_all(place: localization.View, hypothesis: Hypothesis) -> list[Candidate]:
    found = []
    for members in localization.apart(hypothesis.parts, hypothesis.scores):
        try:
            found.append(localization.cut(place, hypothesis, members))
        except NoDigitError:
            continue
    if not found:
        raise NoDigitError("no stroke: nothing but blobs and specks")
    usual = float(np.median([one.box[3] - one.box[1] for one in found]))
    return [one for one in found if one.box[3] - one.box[1] > _LOW * usual]


def _in_lines(found: list[Candidate]) -> list[Candidate]:
    """Left to right within a line; a digit is of the line whose middle it reaches over."""
    lines: list[list[Candidate]] = []
    for one in sorted(found, key=lambda one: one.box[1]):
        for line in lines:
            middle = float(np.mean([(other.box[1] + other.box[3]) / 2 for other in line]))
            if one.box[1] < middle:
                line.append(one)
                break
        else:
            lines.append([one])
    return [one for line in lines for one in sorted(line, key=lambda one: one.box[0])]
