"""Ruled lines are removed; strokes that cross them stay whole."""

from __future__ import annotations

import numpy as np

from edge_mnist.vision.preprocess import preprocess

from .drawing import photo


def test_ruled_lines_are_taken_out_and_strokes_stay_whole(digit: np.ndarray) -> None:
    plain = preprocess(photo(digit))
    ruled = np.array(photo(digit), np.int16)
    for row in range(12, 400, 45):
        ruled[row : row + 2] = np.minimum(ruled[row : row + 2], 150)
    difference = np.abs(preprocess(ruled.astype(np.uint8)).astype(int) - plain)
    # The rule's own width in a picture of 400 is a tenth of a pixel here.
    assert difference.mean() < 4
