"""Printed borders at the edges of a form's cell are erased, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge_mnist import Classifier
from edge_mnist.vision.cell_borders import erase, find_borders

from .drawing import as_image, photo


def cell(digit: np.ndarray, sides: str, *, lean: int = 3, size: int = 160) -> Image.Image:
    """Return a digit between printed lines on some sides: l, t, r, b."""
    picture = photo(digit, size=size)
    far = size - 6
    lines = {
        "l": (5, 0, 5 + lean, size),
        "t": (0, 5 + lean, size, 5),
        "r": (far + lean, 0, far, size),
        "b": (0, far, size, far - lean),
    }
    for side in sides:
        ImageDraw.Draw(picture).line(lines[side], fill=60, width=3)
    return picture


@pytest.mark.parametrize("sides", ["l", "t", "r", "b", "lb", "tr", "ltrb"])
@pytest.mark.parametrize("lean", [0, 3])
def test_borders_of_a_cell_are_erased(
    sides: str, lean: int, digit: np.ndarray, classifier: Classifier
) -> None:
    picture = cell(digit, sides, lean=lean)
    borders = find_borders(picture)
    assert len(borders) == len(sides)
    erased = np.asarray(erase(picture, borders), int)
    assert np.abs(erased - np.asarray(photo(digit, size=160), int)).mean() < 0.5
    assert classifier.predict(picture).digit == 3


def test_a_colour_picture_is_filled_with_the_colour_of_its_paper(digit: np.ndarray) -> None:
    yellow = Image.merge(
        "RGB", [cell(digit, "ltrb"), cell(digit, "ltrb"), Image.new("L", (160, 160), 90)]
    )
    assert erase(yellow, find_borders(yellow)).getpixel((0, 0)) == (220, 220, 90)


def test_what_is_no_border_stays(digit: np.ndarray) -> None:
    ruled = photo(digit, size=300)
    for row in range(10, 300, 30):
        ImageDraw.Draw(ruled).line((0, row, 300, row), fill=120, width=2)
    shadow = np.asarray(photo(digit, size=160), np.float64)
    shadow *= np.clip(np.arange(160)[:, np.newaxis] / 80 + 0.4, 0, 1)
    one = Image.new("L", (40, 160), 220)
    ImageDraw.Draw(one).line((20, 0, 22, 160), fill=40, width=8)
    tiny = Image.fromarray(255 - digit[4:24, 4:24])
    for picture in (photo(digit), ruled, as_image(shadow), one, tiny):
        assert find_borders(picture) == []
        assert erase(picture, []) is picture
