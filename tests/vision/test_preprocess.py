"""`preprocess` as a whole: pictures of every kind, made from one drawn digit, show that digit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier
from edge_mnist.evaluation import classify_pictures
from edge_mnist.vision.preprocess import preprocess
from edge_mnist_export.data import drawn_photographs

from .drawing import encoded, photo


def rgba(digit: np.ndarray, colour: int) -> Image.Image:
    """Return the digit in one colour on a transparent background."""
    pixels = np.full((28, 28, 4), colour, np.uint8)
    pixels[..., 3] = digit
    return Image.fromarray(pixels).resize((200, 200))


def test_a_28x28_picture_is_left_alone(digit: np.ndarray) -> None:
    assert np.array_equal(preprocess(Image.fromarray(digit)), digit)
    assert np.array_equal(preprocess(encoded(Image.fromarray(digit))), digit)


def test_a_28x28_negative_is_turned_back(digit: np.ndarray) -> None:
    assert np.array_equal(preprocess(255 - digit[:, :, np.newaxis]), digit)


def test_every_kind_of_picture_is_read(digit: np.ndarray, classifier: Classifier) -> None:
    page = photo(digit)
    grey = np.asarray(page)
    pictures = {
        "dark on light": page,
        "light on dark": photo(digit, paper=30, ink=230),
        "faint": photo(digit, paper=200, ink=150),
        "JPEG": encoded(page, "JPEG", quality=60),
        "palette": page.convert("P"),
        "CMYK": page.convert("RGB").convert("CMYK"),
        "one bit": page.convert("1", dither=Image.Dither.NONE),
        "transparent, dark ink": rgba(digit, 0),
        "transparent, light ink": rgba(digit, 255),
        "16 bit": Image.fromarray(grey.astype(np.uint16) * 100),
        "array uint8": grey,
        "array uint16": grey.astype(np.uint16) * 257,
        "array float": grey / 255,
        "array bool": grey < 128,
        "array colour": np.stack([grey] * 3, axis=-1),
    }
    read = {name: classifier.predict(picture).digit for name, picture in pictures.items()}
    assert read == dict.fromkeys(pictures, 3)


@pytest.mark.slow
def test_the_paper_set_is_read() -> None:
    """Pictures of seed 0 are read; the constants were tuned on seed 1."""
    counts = classify_pictures(Classifier(), drawn_photographs.pictures(440))
    right = {name: right / count for name, (count, right, _) in counts.items()}
    assert sum(right.values()) / len(right) > 0.96
    assert min(right.values()) > 0.75, right


def test_the_paper_set_is_the_same_every_time() -> None:
    first, again = (list(drawn_photographs.pictures(44)) for _ in range(2))
    assert [one.text for one in first] == ["0"] * 22 + ["1"] * 22
    for one, other in zip(first, again, strict=True):
        same = (
            np.asarray(x.picture) if isinstance(x.picture, Image.Image) else x.picture
            for x in (one, other)
        )
        assert np.array_equal(*same)


def test_an_unsure_answer_is_no_digit_and_keeps_its_probabilities(classifier: Classifier) -> None:
    grey = np.zeros((28, 28), np.uint8)
    prediction = classifier.predict(grey)
    assert prediction.digit is None
    assert prediction.confidence == prediction.probabilities.max() > 0
    threshold = classifier.spec.threshold
    expected = f"unsure: {prediction.confidence:.2f}, below {threshold:.2f}"
    assert prediction.reason == expected
    assert classifier.predict_batch(grey[np.newaxis]).shape == (1,)
