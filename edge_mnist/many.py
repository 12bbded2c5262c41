"""Several digits in one picture: a postcode, a phone number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import locate, mnist_like
from .errors import NoDigitError
from .ink import INKED, extent
from .pictures import open_page

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from .classifier import Classifier, Sighting
    from .ink import Floats
    from .locate import Box, Found, Reading
    from .pictures import Picture

# A row of digits is searched in a larger picture than one digit, and enlarged further.
_SEARCHED, _LARGEST, _TALL = 480, 1600, 70
# A hyphen, a dot or a comma is lower than this share of the other digits.
_LOW = 0.4
# Two digits that touch are wider than this, in shares of their height.
_WIDE, _SURE = 1.05, 0.8


class Spot(NamedTuple):
    """A digit in a picture: as the model takes it, (28, 28) uint8, and where it was.

    `box` is left, top, right, bottom, in pixels of the upright picture. `halves` is what it would
    be as two digits that touch; none where it is not wide enough for that.
    """

    image: NDArray[np.uint8]
    box: tuple[int, int, int, int]
    halves: tuple[Spot, ...] = ()


def spots(picture: Picture) -> list[Spot]:
    """Return the digits in a picture, left to right, and line after line from the top.

    Raises:
        ImageError: it cannot be read, or is too large.
        NoDigitError: it holds no digit.
    """
    page = open_page(picture)
    found = _in_lines(_all(page.image))
    return [_spot(one, page.scale) for one in found]


def read(classifier: Classifier, picture: Picture) -> list[Sighting]:
    """Return the digits of a picture as a model reads them; `Classifier.predict_many` says more."""
    try:
        found = spots(picture)
    except NoDigitError:
        return []
    sightings = []
    for spot in found:
        whole = _read(classifier, spot)
        halves = [_read(classifier, half) for half in spot.halves]
        # Two digits that touch are surer apart than as one.
        apart = len(halves) == 2 and min(h.prediction.confidence for h in halves) > max(
            _SURE, whole.prediction.confidence
        )
        sightings += halves if apart else [whole]
    return sightings


def _read(classifier: Classifier, spot: Spot) -> Sighting:
    from .classifier import Sighting
    from .preprocess import fit

    image = fit(spot.image[np.newaxis], classifier.contract)[0]
    return Sighting(classifier.predict(image), image, spot.box)


def _all(page: Image.Image) -> list[Found]:
    place = locate.whole(page, _SEARCHED)
    reading, _ = locate.best(place)
    found = _cut_all(place, reading)
    boxes = np.array([one.box for one in found])
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    low, high = boxes[:, :2].min(axis=0) - 0.6 * tall, boxes[:, 2:].max(axis=0) + 0.6 * tall
    zoom = min(_TALL / tall, _LARGEST / float((high - low).max()))
    if zoom * place.scale < 1.1:
        return found
    near = locate.view(page, (float(low[0]), float(low[1]), float(high[0]), float(high[1])), zoom)
    try:
        again = _cut_all(near, locate.best(near, (reading.dark,))[0])
    except NoDigitError:
        return found
    return again if len(again) >= len(found) else found


def _cut_all(place: locate.View, reading: Reading) -> list[Found]:
    found = []
    for members in locate.apart(reading.parts, reading.scores):
        try:
            found.append(locate.cut(place, reading, members))
        except NoDigitError:
            continue
    if not found:
        raise NoDigitError("no stroke: nothing but blobs and specks")
    usual = float(np.median([one.box[3] - one.box[1] for one in found]))
    return [one for one in found if one.box[3] - one.box[1] > _LOW * usual]


def _in_lines(found: list[Found]) -> list[Found]:
    """Left to right within a line; a digit is of the line whose middle it reaches over."""
    lines: list[list[Found]] = []
    for one in sorted(found, key=lambda one: one.box[1]):
        for line in lines:
            middle = float(np.mean([(other.box[1] + other.box[3]) / 2 for other in line]))
            if one.box[1] < middle:
                line.append(one)
                break
        else:
            lines.append([one])
    return [one for line in lines for one in sorted(line, key=lambda one: one.box[0])]


def _spot(found: Found, scale: float) -> Spot:
    left, top, right, bottom = (round(value * scale) for value in found.box)
    halves = tuple(_spot(half, scale) for half in _halves(found))
    return Spot(mnist_like.render(found.ink), (left, top, right, bottom), halves)


def _halves(found: Found) -> tuple[Found, ...]:
    """Cut what is as wide as two digits where the least ink is, about the middle."""
    height, width = found.ink.shape
    if width < _WIDE * height:
        return ()
    columns = found.ink.sum(axis=0)
    low, high = int(0.3 * width), int(0.7 * width)
    at = low + int(columns[low:high].argmin())
    if columns[at] > 2 * mnist_like.stroke_width(found.ink):
        return ()
    left, top, right, bottom = found.box
    middle = left + (right - left) * at / width
    parts = (
        (found.ink[:, :at], (left, top, middle, bottom)),
        (found.ink[:, at:], (middle, top, right, bottom)),
    )
    return tuple(_trimmed(ink, box) for ink, box in parts if (ink > INKED).any())


def _trimmed(ink: Floats, box: Box) -> Found:
    left, top, right, bottom = extent(ink)
    step = (box[2] - box[0]) / ink.shape[1]
    x, y = box[:2]
    place = (x + step * left, y + step * top, x + step * right, y + step * bottom)
    return locate.Found(ink[top:bottom, left:right], place)
