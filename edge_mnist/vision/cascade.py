"""Locate the digit of a page in stages, the cheapest first, until the model is sure.

A cascade (Viola and Jones 2001, "Rapid Object Detection using a Boosted Cascade of Simple
Features"): most pictures are simple, and only the others need the full search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from PIL import Image

from ..errors import NoDigitError
from . import global_threshold, localization
from .cell_borders import Polygon, erase, find_borders
from .decode import Page
from .localization import Candidate

# The model's confidence from which the answer of a cheap stage is final.
_SURE = 0.95
# Share of the picture's longer side: a smaller digit is looked at again in the large image.
_SMALL_DIGIT = 0.2


class Located(NamedTuple):
    """A digit, and how many times larger the picture is than the image that it was found in."""

    candidate: Candidate
    scale: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in pixels of the upright picture."""
        left, top, right, bottom = (round(value * self.scale) for value in self.candidate.box)
        return left, top, right, bottom


def locate_digit(page: Page, confidence: Callable[[Candidate], float] | None = None) -> Located:
    """Return the digit of a page.

    Args:
        page: the picture.
        confidence: the model's confidence in a candidate, in [0, 1]. Without it the full search
            decides.

    Raises:
        NoDigitError: the page is empty, or nothing on it is like a stroke.
    """
    if confidence is None:
        return Located(_search(page.image, find_borders(page.small))[0], page.scale)
    found = []
    for located in _quick_candidates(page):
        if located is not None:
            found.append(located)
            if confidence(located.candidate) >= _SURE:
                return located
    try:
        found += [Located(one, page.scale) for one in _search(page.image, find_borders(page.small))]
    except NoDigitError:
        if not found:
            raise
    return max(found, key=lambda located: confidence(located.candidate))


def _quick_candidates(page: Page) -> Iterator[Located | None]:
    """Yield what the cheap stages find, the cheapest first; None where one is not clear."""
    small, scale = page.small, page.longer_side / max(page.small.size)

    def located(candidate: Candidate | None) -> Located | None:
        return None if candidate is None else Located(candidate, scale)

    yield located(global_threshold.locate_digit(small, close=False))
    small = erase(small, find_borders(small))
    yield located(global_threshold.locate_digit(small, close=True))
    candidate = localization.locate_likely_digit(small)
    if candidate is not None and candidate.longer_side < _SMALL_DIGIT * max(small.size):
        yield _look_closer(page, candidate, scale / page.scale)
    else:
        yield located(candidate)


def _look_closer(page: Page, candidate: Candidate, scale: float) -> Located | None:
    """Return a small digit as it is in the large image, `scale` times the small one's size."""
    left, top, right, bottom = (value * scale for value in candidate.box)
    view = localization.enlarge_around(page.image, (left, top, right, bottom))
    enlarged = localization.locate_likely_digit(view.image)
    if enlarged is None:
        return None
    box = view.to_page(enlarged.box)
    if not localization.is_same_digit(box, (left, top, right, bottom)):
        return None
    return Located(replace(enlarged, box=box), page.scale)


def _search(image: Image.Image, borders: list[Polygon]) -> list[Candidate]:
    """Return the digit of the full search, without the borders and with them.

    What looks like a border may be a part of the digit.

    Raises:
        NoDigitError: neither holds one.
    """
    found, error = [], None
    for page in (erase(image, borders), image) if borders else (image,):
        try:
            found.append(localization.locate_digit(page))
        except NoDigitError as reason:
            error = error or reason
    if error and not found:
        raise error
    return found
