"""Several digits in one picture: order, boxes and number of reads."""

from __future__ import annotations

import difflib

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier
from edge_mnist.datasets import Split, synthetic
from edge_mnist.vision.multi_digit import read_digits
from edge_mnist_export.data import composed_digits, drawn_photographs

from .drawing import as_image, photo


def test_a_row_of_digits_is_read_left_to_right(classifier: Classifier) -> None:
    drawn = list(drawn_photographs.strings(12, seed=0))
    detections = [classifier.predict_many(one.picture) for one in drawn]
    read = ["".join(s.prediction.label or "?" for s in row) for row in detections]
    assert sum(a == d.text for a, d in zip(read, drawn, strict=True)) >= 9
    assert sum(len(a) == len(d.text) for a, d in zip(read, drawn, strict=True)) >= 11


def test_many_gives_boxes_of_the_original_and_lines_from_the_top(
    digit: np.ndarray, classifier: Classifier
) -> None:
    large = Image.new("L", (1600, 1200), 220)
    small = photo(digit, size=300).crop((20, 0, 220, 190))
    places = [(200, 150), (700, 170), (1200, 140), (300, 700), (900, 720)]
    for place in places[::-1]:
        large.paste(small, place)
    detections = classifier.predict_many(large)
    assert [detection.prediction.digit for detection in detections] == [3] * 5
    for (x, y), detection in zip(places, detections, strict=True):
        assert detection.box is not None
        left, top, right, bottom = detection.box
        assert x < left < right < x + 200
        assert y < top < bottom < y + 190


@pytest.mark.slow
def test_postcodes_are_not_read_as_one_digit_and_single_digits_are(
    digit: np.ndarray, classifier: Classifier
) -> None:
    def is_several(picture: object) -> bool:
        prediction = classifier.predict(picture)  # type: ignore[arg-type]
        return prediction.digit is None and "several digits: " in (prediction.reason or "")

    codes = [one.picture for one in drawn_photographs.strings(20, seed=5)]
    assert sum(map(is_several, codes)) >= 17
    singles = [one.picture for one in drawn_photographs.pictures(66, seed=3)]
    singles += [photo(digit), Image.fromarray(digit), Image.fromarray(digit).resize((280, 280))]
    assert not [one for one in singles if is_several(one)]


def test_many_of_nothing_is_nothing(classifier: Classifier) -> None:
    assert classifier.predict_many(as_image(np.full((300, 300), 250.0))) == []


@pytest.mark.parametrize("seed", range(3))
def test_many_of_noise_or_a_speck_is_nothing(classifier: Classifier, seed: int) -> None:
    paper = 225 + 3 * np.random.default_rng(seed).standard_normal((240, 320))
    assert classifier.predict_many(as_image(paper)) == []


def test_the_model_reads_a_row_in_one_batch(classifier: Classifier) -> None:
    calls: list[tuple[int, ...]] = []

    def read(images: np.ndarray) -> np.ndarray:
        calls.append(images.shape)
        return classifier.predict_probabilities(images)

    drawn = next(drawn_photographs.strings(1, seed=0, length=5))
    digits = read_digits(drawn.picture, spec=classifier.spec, read=read)
    assert len(digits) == 5
    for digit in digits:
        assert (digit.image.shape, digit.image.dtype) == ((28, 28), np.uint8)
        assert all(type(side) is int for side in digit.box)
    assert calls[0] == (5, 28, 28)
    # One more call for each candidate that may be several digits.
    assert len(calls) <= 4


@pytest.mark.slow
def test_a_ruled_page_is_read_line_by_line(classifier: Classifier) -> None:
    drawn = synthetic.draw(np.arange(200) % 10, seed=9)
    digits = Split("drawn", drawn, np.arange(200, dtype=np.uint8) % 10, "")
    right = total = 0
    for page in composed_digits.pages(digits, 4, seed=1):
        found = classifier.predict_many(page.picture)
        text = "".join(one.prediction.label or "?" for one in found)
        matcher = difflib.SequenceMatcher(a=text, b=page.text, autojunk=False)
        right += sum(block.size for block in matcher.get_matching_blocks())
        total += max(len(text), len(page.text))
    assert right >= 0.95 * total
