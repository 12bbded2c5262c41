"""The cascade: cheap stages answer as the full search does, and only where they are sure."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier
from edge_mnist.vision import cascade, localization
from edge_mnist.vision.decode import open_page
from edge_mnist.vision.normalization import normalize
from edge_mnist.vision.preprocess import extract_digit
from edge_mnist_export.data import drawn_photographs

from .drawing import encoded, photo


def test_a_clean_photograph_is_decoded_small_and_not_searched(
    digit: np.ndarray, classifier: Classifier
) -> None:
    page = open_page(encoded(photo(digit, size=1600), "JPEG"))
    located = cascade.locate_digit(page, lambda candidate: 1.0)
    assert "image" not in vars(page)  # The large image was not decoded.
    assert max(page.small.size) < 320
    assert classifier.predict(normalize(located.candidate.foreground)).digit == 3


def test_an_unsure_model_gets_the_full_search_and_the_surest_reading(digit: np.ndarray) -> None:
    page = open_page(photo(digit))
    seen: list[localization.Candidate] = []

    def confidence(candidate: localization.Candidate) -> float:
        if candidate not in seen:
            seen.append(candidate)
        return 0.3 + 0.1 * seen.index(candidate)

    located = cascade.locate_digit(page, confidence)
    assert len(seen) == 4  # two thresholds, the likeliest hypothesis, the full search
    assert located.candidate is seen[-1]
    full = localization.locate_digit(page.image)
    np.testing.assert_array_equal(located.candidate.foreground, full.foreground)


def test_without_a_model_the_full_search_decides(digit: np.ndarray) -> None:
    page = open_page(photo(digit))
    found = cascade.locate_digit(page).candidate
    np.testing.assert_array_equal(
        found.foreground, localization.locate_digit(page.image).foreground
    )


@pytest.mark.parametrize("size", [120, 400, 3000])
def test_the_box_is_in_pixels_of_the_picture(
    size: int, digit: np.ndarray, classifier: Classifier
) -> None:
    picture = photo(digit, size=size)
    rows, columns = (np.flatnonzero((np.asarray(picture) < 130).any(axis=axis)) for axis in (1, 0))
    for content in (encoded(picture, "JPEG"), encoded(picture)):
        box = classifier.detect(content).box
        truth = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        assert box == pytest.approx(truth, abs=0.02 * size)


def test_a_box_of_a_turned_photograph_is_in_the_upright_one(
    digit: np.ndarray, classifier: Classifier
) -> None:
    picture = photo(digit, size=600).crop((0, 0, 600, 420))
    upright = classifier.detect(encoded(picture)).box
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    assert classifier.detect(encoded(turned, "JPEG", exif=exif)).box == pytest.approx(
        upright, abs=8
    )


def test_a_small_digit_on_a_large_photograph_is_located(
    digit: np.ndarray, classifier: Classifier
) -> None:
    page = Image.new("L", (2400, 1800), 220)
    page.paste(photo(digit, size=200), (1500, 900))
    detection = classifier.detect(encoded(page, "JPEG"))
    assert detection.prediction.digit == 3
    assert detection.box is not None
    left, top, right, bottom = detection.box
    assert 1550 < left < right < 1670
    assert 900 < top < bottom < 1030


@pytest.mark.slow
def test_stages_and_full_search_agree_on_drawn_photographs(classifier: Classifier) -> None:
    differing = 0
    for drawn in drawn_photographs.pictures(220, seed=3):
        staged = classifier.predict(drawn.picture)
        full = classifier.predict(extract_digit(drawn.picture, classifier.spec).image)
        differing += staged.digit != full.digit
    assert differing <= 1  # 2 of 800 differ on other drawings: 0.25 %
