"""Digits that touch are split; one digit stays whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier
from edge_mnist.vision.localization import Candidate
from edge_mnist.vision.segmentation import split_touching
from edge_mnist_export.data import page_rendering

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
    # Half of them are: ink runs into ink, one digit leaning over the other.
    pairs = [(a, b) for a in range(10) for b in range(10)][::2]
    detections = [classifier.predict_many(touching(pair, seed=2)) for pair in pairs]
    read = [tuple(one.prediction.digit for one in row) for row in detections]
    assert sum(a == b for a, b in zip(read, pairs, strict=True)) >= 0.4 * len(pairs)
    for row in detections:
        for left, right in itertools.pairwise(row):
            assert left.box is not None and right.box is not None
            assert left.box[0] < right.box[0] and left.box[2] < right.box[2]


def test_a_wide_digit_is_left_whole(digit: np.ndarray, classifier: Classifier) -> None:
    wide = photo(digit, size=300).resize((375, 300))
    assert [one.prediction.digit for one in classifier.predict_many(wide)] == [3]


def two_bars(gap: int) -> Candidate:
    """Return two upright bars of 20×40 pixels, `gap` pixels apart, joined by a line of 4 pixels."""
    foreground = np.zeros((40, 40 + gap), np.float32)
    foreground[:, :20] = foreground[:, -20:] = foreground[18:22] = 1
    return Candidate(foreground, (100.0, 50.0, 100.0 + 2 * foreground.shape[1], 130.0))


def test_pieces_are_kept_only_where_each_is_read_better_than_the_whole() -> None:
    bars = two_bars(gap=10)
    pieces = split_touching(bars, lambda part: 0.6 if part is bars else 0.95)
    assert len(pieces) == 2
    assert pieces[0].box[0] == 100
    assert pieces[1].box[2] == bars.box[2]
    assert split_touching(bars, lambda part: 0.97 if part is bars else 0.95) == [bars]
    assert split_touching(bars, lambda part: 0.0 if part is bars else 0.65) == [bars]


def test_a_shape_without_a_possible_piece_is_left_whole() -> None:
    bar = Candidate(np.ones((10, 60), np.float32), (0.0, 0.0, 60.0, 10.0))
    assert split_touching(bar, lambda part: 0.5) == [bar]


def test_a_narrow_candidate_is_never_read() -> None:
    narrow = Candidate(np.ones((40, 32), np.float32), (0.0, 0.0, 32.0, 40.0))

    def fail(part: Candidate) -> float:
        pytest.fail("a narrow candidate was read")

    assert split_touching(narrow, fail) == [narrow]
