"""Normalization: size, place and stroke width are those of MNIST."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge_mnist.vision.normalization import stroke_width
from edge_mnist.vision.preprocess import preprocess

from .drawing import photo


def test_ink_is_centred_by_mass_in_a_box_of_20(digit: np.ndarray) -> None:
    result = preprocess(photo(digit))
    rows, columns = np.nonzero(result)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    weights = result / result.sum()
    centre = (weights.sum(1) @ np.arange(28), weights.sum(0) @ np.arange(28))
    # Placed at whole pixels: the centre of mass is off 14 by half a pixel at most.
    assert np.abs(np.array(centre) - 14).max() <= 0.51


@pytest.mark.parametrize("width", [2, 60])
def test_a_hairline_and_a_marker_become_a_pen_that_mnist_knows(width: int) -> None:
    drawn = Image.new("L", (500, 700), 240)
    ImageDraw.Draw(drawn).line([(120, 90), (380, 90), (220, 620)], fill=30, width=width)
    ink = preprocess(drawn) / np.float32(255)
    assert 1.5 < stroke_width(ink) < 4
