"""Composed pictures: reproducible, of the digits and kinds that they state."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edge_mnist import datasets
from edge_mnist_export.data import composed_pictures, form_cells, ink
from edge_mnist_export.data.composed_pictures import SETS, Hand
from edge_mnist_export.data.drawn_photographs import Drawn

SINGLE = set(SETS) - {"not digits", "several digits"}


@pytest.fixture(scope="module")
def hand() -> Hand:
    """Return a hand with the fonts that are installed; sets of fonts need one."""
    return composed_pictures.tuning_hand(
        datasets.load(datasets.find("synthetic"), "train", limit=1200)
    )


def compose(name: str, hand: Hand, count: int, *, seed: int = 3) -> list[Drawn]:
    if name in composed_pictures.FONT_SETS and not hand.fonts:
        pytest.skip("no handwriting font of Debian is installed, such as fonts-bwht")
    return list(composed_pictures.pictures(name, hand, count, seed=seed))


def opened(picture: object) -> Image.Image:
    assert isinstance(picture, bytes)
    return Image.open(io.BytesIO(picture))


@pytest.mark.parametrize("name", SETS)
def test_conditions_take_turns_and_state_their_digits(name: str, hand: Hand) -> None:
    conditions = list(SETS[name])
    drawn = compose(name, hand, len(conditions) + 2)
    assert [one.condition for one in drawn] == [*conditions, *conditions[:2]]
    first, second = drawn[0].text, drawn[-1].text
    if name in SINGLE:
        assert (first, second) == ("0", "1")
    elif name == "several digits":
        assert first[0] == "0" and second[0] == "1" and 2 <= len(second) <= 6
    else:
        assert first == second == ""
    for one in drawn:
        assert min(opened(one.picture).size) >= 12


@pytest.mark.parametrize("name", SETS)
def test_a_picture_depends_on_seed_and_number_alone(name: str, hand: Hand) -> None:
    first, again = compose(name, hand, 3), compose(name, hand, 2)
    assert again == first[:2]
    assert compose(name, hand, 2, seed=4) != again


def test_tuning_and_test_share_no_image_and_no_font(hand: Hand) -> None:
    training = datasets.load(datasets.find("synthetic"), "train", limit=1200)
    assert len(hand.images) == 100
    held_out = {image.tobytes() for image in hand.images}
    rest = [image for image in training.images if image.tobytes() in held_out]
    assert len(rest) == 100
    assert not set(ink.TUNING_FONTS) & set(ink.TEST_FONTS)
    assert not set(ink.find_fonts(ink.TUNING_FONTS)) & set(ink.find_fonts(ink.TEST_FONTS))


def test_a_digit_is_as_tall_and_its_pen_as_wide_as_asked(hand: Hand) -> None:
    thin, wide = (
        hand.write(0, np.random.default_rng(1), height=200, width=width) for width in (0.04, 0.12)
    )
    for mask in (thin, wide):
        assert abs(len(mask) - 200) <= 6
        assert mask.min() == 0 and mask.max() == 1
        # The middle of a 0 is empty, and its line crosses the middle row twice.
        assert (np.diff((mask[100] > 0.5).astype(int)) == 1).sum() == 2
    assert 2.2 < wide.sum() / thin.sum() < 3.8


@pytest.mark.parametrize("digit", (1, 8))
@pytest.mark.parametrize("width", (None, 0.06))
def test_a_small_digit_is_grey_and_not_torn(digit: int, width: float | None, hand: Hand) -> None:
    mask = hand.write(digit, np.random.default_rng(2), height=18, width=width)
    assert abs(len(mask) - 18) <= 2
    assert mask.max(axis=1).min() > 0.2


def test_thinning_leaves_the_centre_line_of_a_bar() -> None:
    bar = np.zeros((20, 40), bool)
    bar[7:14, 5:35] = True
    line = ink.thin(bar)
    assert set(line.sum(axis=0)) == {0, 1}
    assert np.flatnonzero(line.any(axis=1)).tolist() == [10]
    assert line.any(axis=0).sum() > 20


def test_low_resolution_is_16_pixels_or_enlarged_in_both_polarities(hand: Hand) -> None:
    drawn = compose("low resolution", hand, len(SETS["low resolution"]))
    for one in drawn:
        image = opened(one.picture)
        assert image.size == (16, 16) if one.condition.startswith("16×16") else image.width >= 28
        border = np.concatenate([np.asarray(image)[:, 0], np.asarray(image)[:, -1]])
        assert (np.median(border) > 128) == one.condition.endswith("dark on light")


def test_a_cut_cell_loses_little_of_its_digit(hand: Hand) -> None:
    placed = np.zeros((60, 60), np.float32)
    placed[10:50, 20:40] = 1
    for seed in range(20):
        cut = form_cells.clip(placed, 0.1, np.random.default_rng(seed))
        assert 0.75 * placed.sum() < cut.sum() <= placed.sum()
