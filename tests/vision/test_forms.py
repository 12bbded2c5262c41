"""Forms: their grids are found, and every cell is read in its row and column."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge_mnist import Classifier
from edge_mnist.datasets import Split, synthetic
from edge_mnist.vision.grid import find_grid
from edge_mnist_export.data import composed_digits, drawn_photographs
from tests import errors

from .drawing import photo


@pytest.fixture(scope="module")
def digits() -> Split:
    """Drawn digits, as MNIST would have them."""
    labels = np.arange(200, dtype=np.uint8) % 10
    return Split("drawn", synthetic.draw(labels.astype(np.intp), seed=9), labels, "")


def form(texts: list[list[str]], digits: Split, *, gap: int = 0, down: int = 0) -> Image.Image:
    """Return a form of cells of 70×80 pixels, `gap` apart; digits lie `down` below the middle."""
    page = Image.new("L", (60 + (70 + gap) * len(texts[0]), 60 + (80 + gap) * len(texts)), 235)
    draw = ImageDraw.Draw(page)
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            x, y = 30 + (70 + gap) * column, 30 + (80 + gap) * row
            draw.rectangle((x, y, x + 70, y + 80), outline=90, width=2)
            if text:
                image = Image.fromarray(digits.images[int(text)]).resize((60, 60), Image.BICUBIC)
                page.paste(40, (x + 5, y + 10 + down), image)
    return page


TEXTS = [["1", "", "3", "4"], ["5", "6", "", "8"], ["", "9", "0", "2"]]


@pytest.mark.parametrize("gap", [0, 12])
@pytest.mark.parametrize("angle", [0, 3, -3])
def test_cells_are_read_in_rows_and_columns(
    classifier: Classifier, digits: Split, gap: int, angle: int
) -> None:
    page = form(TEXTS, digits, gap=gap).rotate(angle, Image.BICUBIC, expand=True, fillcolor=235)
    grid = classifier.read_grid(page)
    assert grid.texts == TEXTS
    first, last = grid.rows[0][0].box, grid.rows[2][3].box
    assert first is not None and last is not None
    assert first[2] < last[0] and first[3] < last[1]
    for line in grid.rows:
        for cell in line:
            assert len(cell.detections) == len(cell.text)
            for detection in cell.detections:
                # The digit's middle lies in its cell.
                assert cell.box is not None and detection.box is not None
                middle = np.array(detection.box).reshape(2, 2).mean(axis=0)
                assert (np.array(cell.box[:2]) < middle).all()
                assert (middle < np.array(cell.box[2:])).all()


@pytest.mark.parametrize("down", [-12, 12])
def test_digits_that_cross_their_cells_lines_stay_whole(
    classifier: Classifier, digits: Split, down: int
) -> None:
    # Digits are 43 pixels high, so that they reach over the line.
    page = form(TEXTS, digits, down=2 * down)
    texts = classifier.read_grid(page).texts
    same = [
        a == b
        for one, other in zip(texts, TEXTS, strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    assert sum(same) >= 11


@pytest.mark.slow
@pytest.mark.parametrize("kind", composed_digits.FORMS)
def test_forms_of_all_kinds_are_read(classifier: Classifier, digits: Split, kind: str) -> None:
    forms = [one for one in composed_digits.forms(digits, 12, seed=2) if one.kind == kind]
    cells = right = 0
    for one in forms:
        texts = classifier.read_grid(one.picture).texts
        assert [len(row) for row in texts] == [len(row) for row in one.rows]
        for row, line in zip(texts, one.rows, strict=True):
            cells += len(line)
            right += sum(a == b for a, b in zip(row, line, strict=True))
    assert right >= 0.93 * cells


def test_light_lines_on_a_dark_form_are_found(classifier: Classifier, digits: Split) -> None:
    page = form(TEXTS, digits).point(lambda value: 255 - value)
    assert classifier.read_grid(page).texts == TEXTS


def test_a_row_with_fewer_cells_keeps_its_columns(classifier: Classifier, digits: Split) -> None:
    page = form(TEXTS, digits, gap=12)
    # The second cell of the second row is painted over.
    ImageDraw.Draw(page).rectangle((30 + 82 - 4, 30 + 92 - 4, 30 + 82 + 74, 30 + 92 + 84), fill=235)
    grid = classifier.read_grid(page)
    assert grid.texts == [TEXTS[0], ["5", "", "", "8"], TEXTS[2]]
    assert grid.rows[1][1] == ("", None, [])


def test_pictures_without_cells_have_no_grid(classifier: Classifier, digit: np.ndarray) -> None:
    pictures = [one.picture for one in drawn_photographs.strings(6, seed=1)]
    for picture in [*pictures, photo(digit), Image.new("L", (300, 200), 230)]:
        assert isinstance(picture, Image.Image)
        assert find_grid(picture) is None
    with errors.raises("image-grid"):
        classifier.read_grid(photo(digit))
