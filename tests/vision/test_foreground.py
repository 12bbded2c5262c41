"""Foreground: uneven light and colours do not hide a digit."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist.vision.preprocess import preprocess

from .drawing import as_image, photo


def test_a_shadow_across_the_paper_takes_no_part(digit: np.ndarray) -> None:
    plain = preprocess(photo(digit))
    light = np.where(np.arange(400) < 190, 1.0, 0.45)[:, np.newaxis]
    shadowed = np.asarray(photo(digit)) * light
    difference = np.abs(preprocess(as_image(shadowed)).astype(int) - plain)
    assert difference.mean() < 4


@pytest.mark.parametrize("mode", ["dark pen", "light pen"])
def test_a_coloured_pen_as_bright_as_its_paper_is_seen(
    mode: str, digit: np.ndarray, classifier: Classifier
) -> None:
    alpha = np.asarray(photo(digit, paper=0, ink=255))[..., np.newaxis] / 255
    colours = np.array(((200, 80, 60), (60, 140, 90)), float)
    ground, pen = colours if mode == "dark pen" else colours[::-1]
    assert classifier.predict(as_image(ground + alpha * (pen - ground))).digit == 3
