"""Localization: a digit is located anywhere, and nothing else is taken for one."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge_mnist import Classifier
from edge_mnist.vision.preprocess import preprocess
from tests.errors import raises

from .drawing import as_image, encoded, noisy_paper, photo


def test_empty_paper_is_no_digit(classifier: Classifier) -> None:
    prediction = classifier.predict(as_image(np.full((100, 100), 255.0)))
    assert (prediction.digit, prediction.label, prediction.confidence) == (None, None, 0.0)
    assert prediction.reason == "no ink: contrast 0.00 of 1"
    assert not prediction.probabilities.any()
    noisy = classifier.predict(as_image(noisy_paper()))
    assert noisy.digit is None
    assert noisy.reason is not None
    assert noisy.reason.startswith(("no ink: ", "no stroke: "))


def test_the_reason_of_no_digit_is_an_error_of_preprocess() -> None:
    with raises("no-digit", "no ink: contrast 0.00 of 1"):
        preprocess(np.full((60, 60), 200, np.uint8))


def test_noise_a_disc_and_a_tangle_are_no_digits(classifier: Classifier) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (160, 160)).astype(np.uint8)
    assert classifier.predict(noise).digit is None
    disc, tangle = as_image(noisy_paper()), as_image(noisy_paper())
    ImageDraw.Draw(disc).ellipse((60, 60, 180, 180), fill=30)
    assert classifier.predict(disc).reason == "no stroke: a blob as wide as it is long"
    points = np.random.default_rng(4).integers(30, 210, (25, 2))
    ImageDraw.Draw(tangle).line([(int(x), int(y)) for x, y in points], fill=30, width=5)
    reason = classifier.predict(tangle).reason
    assert reason is not None
    assert re.fullmatch(r"a tangle: a line \d+\.\d times as long as it is tall", reason)


def test_specks_are_dropped_and_a_broken_stroke_is_one_digit(digit: np.ndarray) -> None:
    plain = preprocess(photo(digit))
    broken = np.array(photo(digit))
    broken[20 + 96 : 20 + 104] = 220  # a gap of eight rows, four hundredths of the height
    for x, y in np.random.default_rng(1).integers(0, 398, (60, 2)):
        if not (10 < y < 230 and 50 < x < 270):
            broken[y : y + 2, x : x + 2] = 40
    result = preprocess(broken)
    assert np.abs(result.astype(int) - plain).mean() < 12
    assert np.ptp(np.nonzero(result)[0]) + 1 == 20


def test_a_digit_is_found_in_any_corner_of_a_large_photograph(
    digit: np.ndarray, classifier: Classifier
) -> None:
    small = photo(digit, size=240).crop((10, 0, 190, 150))
    for corner in ((0, 0), (3820, 0), (0, 2850), (3820, 2850), (1900, 1400)):
        large = Image.new("L", (4000, 3000), 220)
        large.paste(small, corner)
        assert classifier.predict(encoded(large, "JPEG")).digit == 3, corner


@pytest.mark.parametrize("side", ["left", "top", "right", "bottom", "all"])
def test_a_digit_may_touch_the_edge(side: str, digit: np.ndarray, classifier: Classifier) -> None:
    pixels = np.asarray(photo(digit))
    rows, columns = (np.flatnonzero((pixels < 130).any(axis=axis)) for axis in (1, 0))
    box = [0, 0, 400, 400]
    tight = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    for place, name in enumerate(("left", "top", "right", "bottom")):
        if side in (name, "all"):
            box[place] = int(tight[place])
    assert classifier.predict(photo(digit).crop(tuple(box))).digit == 3
