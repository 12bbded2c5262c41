"""Locate the digit of a page in stages, the cheapest first, until the model is sure.

A cascade (Viola and Jones 2001, "Rapid Object Detection using a Boosted Cascade of Simple
Features"): most pictures are simple, and only the others need the full search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from PIL import Image

from ..errors import NoDigitError
from . import global_threshold, localization
from .cell_borders import Polygon, erase, find_borders
from .decode import Page
from .localization import Candidate

# The model's confidence from which the answer of a cheap stage is final.
_SURE = 0.95


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
    scale, found = page.longer_side / max(page.small.size), []
    for candidate in _quick_candidates(page.small):
        if candidate is not None:
            found.append(Located(candidate, scale))
            if confidence(candidate) >= _SURE:
                return found[-1]
    try:
        found += [Located(one, page.scale) for one in _search(page.image, find_borders(page.small))]
    except NoDigitError:
        if not found:
            raise
    return max(found, key=lambda located: confidence(located.candidate))


def _quick_candidates(small: Image.Image) -> Iterator[Candidate | None]:
    """Yield the digits of the cheap stages on a page's small image, the cheapest first."""
    yield global_threshold.locate_digit(small, close=False)
    small = erase(small, find_borders(small))
    yield global_threshold.locate_digit(small, close=True)
    yield localization.locate_likely_digit(small)


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
