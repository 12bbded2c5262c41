"""One threshold: clean pictures are read; everything else is left to the search."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from edge_mnist import Classifier
from edge_mnist.vision.global_threshold import locate_digit
from edge_mnist.vision.normalization import normalize

from .drawing import as_image, photo


@pytest.mark.parametrize("size", [40, 56, 120, 300])
@pytest.mark.parametrize("light_on_dark", [False, True])
def test_a_pen_on_even_paper_is_read(
    size: int, light_on_dark: bool, digit: np.ndarray, classifier: Classifier
) -> None:
    picture = photo(digit).resize((size, size), Image.Resampling.BOX)
    candidate = locate_digit(ImageOps.invert(picture) if light_on_dark else picture, close=False)
    assert candidate is not None
    assert classifier.predict(normalize(candidate.foreground)).digit == 3


def test_a_close_crop_is_read_where_it_is_allowed(
    digit: np.ndarray, classifier: Classifier
) -> None:
    rows, columns = (np.flatnonzero((digit > 60).any(axis=axis)) for axis in (1, 0))
    crop = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    picture = Image.fromarray(crop).resize((16, 16), Image.Resampling.BOX)
    assert locate_digit(picture, close=False) is None
    for shown in (picture, ImageOps.invert(picture)):
        candidate = locate_digit(shown, close=True)
        assert candidate is not None
        assert classifier.predict(normalize(candidate.foreground)).digit == 3


def test_what_is_not_so_simple_is_none(digit: np.ndarray) -> None:
    two = Image.new("L", (400, 200), 220)
    for x in (0, 200):
        two.paste(photo(digit, size=200), (x, 0))
    shadow = np.asarray(photo(digit), np.float64)
    shadow[:, 150:] *= 0.5
    blob, faint = photo(digit), photo(digit, ink=200)
    ImageDraw.Draw(blob).ellipse((50, 50, 350, 350), fill=30)
    ruled = photo(digit)
    ImageDraw.Draw(ruled).line((0, 120, 400, 120), fill=60, width=3)
    for picture in (two, as_image(shadow), blob, faint, ruled, Image.new("L", (90, 90), 220)):
        for close in (False, True):
            assert locate_digit(picture, close=close) is None
