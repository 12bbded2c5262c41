"""Drawn photographs: reproducible pictures, the files and sizes that the conditions promise."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from edge_mnist_export.data import drawn_photographs, page_rendering

CONDITIONS = len(drawn_photographs.CONDITIONS)


@pytest.fixture(scope="module")
def drawn() -> dict[str, Image.Image]:
    """Return one picture per condition, opened."""
    return {
        one.condition: Image.open(io.BytesIO(one.picture))
        if isinstance(one.picture, bytes)
        else one.picture
        for one in drawn_photographs.pictures(CONDITIONS, seed=3)
    }


def test_conditions_and_digits_take_turns() -> None:
    pictures = list(drawn_photographs.pictures(2 * CONDITIONS))
    assert [one.condition for one in pictures] == list(drawn_photographs.CONDITIONS) * 2
    assert [one.text for one in pictures] == ["0"] * CONDITIONS + ["1"] * CONDITIONS


def test_a_picture_depends_on_seed_and_number_alone() -> None:
    first, again = (next(iter(drawn_photographs.pictures(1, seed=5))) for _ in range(2))
    other = next(iter(drawn_photographs.pictures(1, seed=6)))
    first, again, other = (np.asarray(one.picture) for one in (first, again, other))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


@pytest.mark.parametrize(
    ("condition", "format", "mode"),
    [
        ("plain", None, "L"),
        ("shadow", "JPEG", "L"),
        ("squared", None, "RGB"),
        ("EXIF", "JPEG", "L"),
        ("transparent", "PNG", "RGBA"),
        ("16-bit", "PNG", "I;16"),
    ],
)
def test_a_condition_gives_its_file_format(
    condition: str, format: str | None, mode: str, drawn: dict[str, Image.Image]
) -> None:
    assert (drawn[condition].format, drawn[condition].mode) == (format, mode)


def test_the_exif_condition_is_rotated(drawn: dict[str, Image.Image]) -> None:
    assert drawn["EXIF"].getexif()[0x0112] in (3, 6, 8)
    assert np.ptp(np.asarray(drawn["16-bit"], np.int64)) > 1000


def test_a_tiny_digit_is_on_a_large_picture(drawn: dict[str, Image.Image]) -> None:
    assert drawn["tiny"].size == (1200, 900)
    assert max(drawn["plain"].size) < 480


def test_strings_have_the_length_asked_for() -> None:
    drawn = list(drawn_photographs.strings(3, seed=1, length=3))
    assert [one.condition for one in drawn] == ["plain", "ruled", "shadowed"]
    assert all(len(one.text) == 3 for one in drawn)
    assert len({one.text for one in drawn_photographs.strings(20)}) == 20
    lengths = {len(one.text) for one in drawn_photographs.strings(20)}
    assert lengths <= set(range(2, 9)) and len(lengths) > 3


def test_a_mask_is_as_tall_as_asked_and_a_failing_pen_draws_less() -> None:
    for digit, gap in itertools.product((0, 1, 8), (0.0, 0.3)):
        rng = np.random.default_rng(digit)
        mask = page_rendering.stroke_mask((200, 200), digit, rng, height=100, width=8, gap=gap)
        rows = np.flatnonzero(mask.any(axis=1))
        assert mask.min() == 0 and mask.max() == 1
        assert gap or 90 < rows[-1] - rows[0] < 110
