"""Composed digits: touching pairs touch, and a seed draws the same picture again."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist.datasets import Split, synthetic
from edge_mnist.vision.connected_components import label_components
from edge_mnist_export.data import composed_digits


@pytest.fixture(scope="module")
def digits() -> Split:
    labels = np.arange(100, dtype=np.uint8) % 10
    return Split("drawn", synthetic.draw(labels.astype(np.intp), seed=3), labels, "")


def test_the_two_digits_of_a_pair_are_one_component(digits: Split) -> None:
    pairs = list(composed_digits.touching_pairs(digits, 24, seed=1))
    assert [pair.kind for pair in pairs[:6]] == list(composed_digits.TOUCHING)
    connected = 0
    for pair in pairs:
        pixels = np.asarray(pair.picture).astype(np.int16)
        ink = pixels < (np.median(pixels) + pixels.min()) / 2
        components = label_components(ink, np.zeros(ink.shape, np.float32), min_area=40)
        connected += len(components) == 1
        assert len(pair.text) == 2
    # A drawn 4 or 5 may have two strokes of its own.
    assert connected >= 18


def test_forms_have_cells_in_equal_rows_and_repeat(digits: Split) -> None:
    one, again = (list(composed_digits.forms(digits, 3, seed=4)) for _ in range(2))
    assert [form.kind for form in one] == list(composed_digits.FORMS)
    for form, other in zip(one, again, strict=True):
        assert len({len(row) for row in form.rows}) == 1
        assert form.rows == other.rows
        assert (np.asarray(form.picture) == np.asarray(other.picture)).all()
