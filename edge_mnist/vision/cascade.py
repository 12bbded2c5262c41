"""Locate the digit of a page in stages, the cheapest first, until the model is sure.

A cascade (Viola and Jones 2001, "Rapid Object Detection using a Boosted Cascade of Simple
Features"): most pictures are simple, and only the others need the full search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

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
        return next(_search(page, find_borders(page.small)))
    found = []
    try:
        for located in _stages(page):
            if located is not None:
                found.append(located)
                if confidence(located.candidate) >= _SURE:
                    return located
    except NoDigitError:
        if not found:
            raise
    return max(found, key=lambda located: confidence(located.candidate))


def _stages(page: Page) -> Iterator[Located | None]:
    """Yield what each stage finds, the cheapest first; None where a cheap one is not clear.

    Raises:
        NoDigitError: the full search found nothing.
    """
    small, scale = page.small, page.longer_side / max(page.small.size)

    def located(candidate: Candidate | None) -> Located | None:
        return None if candidate is None else Located(candidate, scale)

    yield located(global_threshold.locate_digit(small, close=False))
    borders = find_borders(small)
    small = erase(small, borders)
    yield located(global_threshold.locate_digit(small, close=True))
    candidate = localization.locate_likely_digit(small)
    if candidate is not None and candidate.longer_side < _SMALL_DIGIT * max(small.size):
        yield _look_closer(page, candidate, scale / page.scale)
    else:
        yield located(candidate)
    yield from _search(page, borders)


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


def _search(page: Page, borders: list[Polygon]) -> Iterator[Located]:
    """Yield the digit of the full search, without the borders and then with them.

    What looks like a border may be a part of the digit.

    Raises:
        NoDigitError: neither holds one.
    """
    reason, found = None, False
    for image in (erase(page.image, borders), page.image) if borders else (page.image,):
        try:
            candidate = localization.locate_digit(image)
        except NoDigitError as error:
            reason = reason or error
            continue
        found = True
        yield Located(candidate, page.scale)
    if reason and not found:
        raise reason
