"""Digits that touch are split; one digit stays whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier
from edge_mnist.datasets import find, load
from edge_mnist.vision.localization import Candidate
from edge_mnist.vision.segmentation import may_touch, split_touching
from edge_mnist_export.data import composed_digits, page_rendering

from .drawing import photo


def touching(digits: tuple[int, ...], seed: int) -> Image.Image:
    """Digits side by side on plain paper, each slid left until its ink runs into the one before."""
    rng = np.random.default_rng([seed, *digits])
    height = 90
    row = np.zeros((150, 10), np.float32)
    for digit in digits:
        cell = page_rendering.stroke_mask((150, 260), digit, rng, height=height, width=8)
        columns = np.flatnonzero(cell.any(axis=0))
        cell = np.pad(cell[:, columns[0] : columns[-1] + 1], ((0, 0), (row.shape[1], 0)))
        row = np.pad(row, ((0, 0), (0, cell.shape[1] - row.shape[1])))
        while row.any() and not (row * cell > 0.5).any():
            cell = np.roll(cell, -1, axis=1)
        row = np.maximum(row, cell)
    ink = np.pad(row, 60)
    page = page_rendering.write_on(page_rendering.paper(ink.shape, rng), ink, 60)
    return page_rendering.to_image(page)


@pytest.mark.slow
def test_digits_that_touch_are_taken_apart(classifier: Classifier) -> None:
    # Ink runs into ink, one digit leaning over the other.
    pairs = [(a, b) for a in range(10) for b in range(10)][::2]
    detections = [classifier.predict_many(touching(pair, seed=2)) for pair in pairs]
    read = [tuple(one.prediction.digit for one in row) for row in detections]
    assert sum(a == b for a, b in zip(read, pairs, strict=True)) >= 0.6 * len(pairs)
    for row in detections:
        for left, right in itertools.pairwise(row):
            assert left.box is not None and right.box is not None
            assert left.box[0] < right.box[0] and left.box[2] < right.box[2]


@pytest.mark.slow
def test_real_digits_that_touch_are_taken_apart_and_single_ones_stay_whole(
    mnist: Path, classifier: Classifier
) -> None:
    digits = load(find(mnist), "test")
    read = [
        (
            "".join(one.prediction.label or "?" for one in classifier.predict_many(pair.picture)),
            pair,
        )
        for pair in composed_digits.touching_pairs(digits, 60, seed=9)
    ]
    # 76 % of 600 are.
    assert sum(text == pair.text for text, pair in read) >= 0.65 * len(read)
    singles = composed_digits.singles(digits, 60, seed=9)
    whole = [one for one in singles if one.kind != "broken"]
    assert all(len(classifier.predict_many(one.picture)) == 1 for one in whole)


def test_a_wide_digit_is_left_whole(digit: np.ndarray, classifier: Classifier) -> None:
    wide = photo(digit, size=300).resize((375, 300))
    assert [one.prediction.digit for one in classifier.predict_many(wide)] == [3]


def two_bars(gap: int) -> Candidate:
    """Return two upright bars of 20×40 pixels, `gap` pixels apart, joined by a line of 4 pixels."""
    foreground = np.zeros((40, 40 + gap), np.float32)
    foreground[:, :20] = foreground[:, -20:] = foreground[18:22] = 1
    return Candidate(foreground, (100.0, 50.0, 100.0 + 2 * foreground.shape[1], 130.0))


def reader(*, wide: float, narrow: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a model that reads a 9 with a probability by the width of the strokes."""

    def read(images: np.ndarray) -> np.ndarray:
        columns = [np.ptp(np.flatnonzero(image.max(axis=0) > 64)) + 1 for image in images]
        probabilities = np.zeros((len(images), 10), np.float32)
        probabilities[:, 9] = np.where(np.array(columns) > 15, wide, narrow)
        return probabilities

    return read


def test_the_segmentation_that_is_read_best_is_chosen() -> None:
    bars = two_bars(gap=10)
    pieces = [one.candidate for one in split_touching(bars, reader(wide=0.3, narrow=0.99))]
    assert len(pieces) == 2
    assert pieces[0].box[0] == 100
    assert pieces[1].box[2] == bars.box[2]
    # The cut lies between the bars as they are read: these thick ones are made thinner.
    assert 130 <= pieces[0].box[2] <= pieces[1].box[0] + 8 <= 168
    assert split_touching(bars, reader(wide=0.99, narrow=0.3)) == []


def test_a_cut_may_slant() -> None:
    # Two strokes that lean like slashes; no upright line separates them.
    y, x = np.mgrid[:60, :80]
    foreground = np.zeros((60, 80), np.float32)
    for start in (10, 34):
        foreground[np.abs(x - start - (59 - y) * 0.6) < 5] = 1
    foreground[28:32, 30:50] = 1  # what joins them
    slashes = Candidate(foreground, (0.0, 0.0, 80.0, 60.0))
    pieces = [one.candidate for one in split_touching(slashes, reader(wide=0.9, narrow=0.99))]
    assert len(pieces) == 2
    assert pieces[0].box[2] > pieces[1].box[0] + 10
    for piece, start in zip(pieces, (10, 34), strict=True):
        assert piece.foreground.sum() > 0.9 * 10 * 60
        assert abs(piece.box[0] - max(start - 5, 0)) < 4


def test_a_shape_without_a_possible_piece_is_left_whole() -> None:
    bar = Candidate(np.ones((10, 60), np.float32), (0.0, 0.0, 60.0, 10.0))
    assert split_touching(bar, reader(wide=0.5, narrow=0.5)) == []


def test_candidates_that_may_touch_are_wide_or_unsure() -> None:
    def candidate(width: int) -> Candidate:
        box = (0.0, 0.0, float(width), 40.0)
        return Candidate(np.ones((40, width), np.float32), box)

    assert not may_touch(candidate(20), 0.2)
    assert not may_touch(candidate(36), 0.99)
    assert may_touch(candidate(36), 0.9)
    assert may_touch(candidate(50), 0.99)
