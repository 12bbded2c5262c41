"""Synthetic digits: reproducible, different by split, with the statistics of MNIST's digits.

Values of MNIST in this file were measured on its first 55,000 training images.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_mnist.datasets import pen, synthetic
from edge_mnist.errors import DataError

Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def labels() -> NDArray[np.uint8]:
    return np.tile(np.arange(10, dtype=np.uint8), 400)


@pytest.fixture(scope="module")
def images(labels: NDArray[np.uint8]) -> Images:
    return synthetic.draw(labels, seed=7)


@pytest.fixture(scope="module")
def test_split() -> tuple[Images, NDArray[np.uint8]]:
    return synthetic.split("test")


def spans(images: Images, axis: int) -> NDArray[np.intp]:
    """Return heights (axis 2) or widths (axis 1) of the digits, in pixels."""
    drawn = images.any(axis=axis)
    return images.shape[1] - drawn.argmax(axis=1) - drawn[:, ::-1].argmax(axis=1)


def centres(images: Images) -> NDArray[np.float64]:
    """Return centres of mass (n, 2) as row and column, pixels counted from 0."""
    mass = images.sum(axis=(1, 2), dtype=np.float64)
    at = np.arange(images.shape[1])
    return np.stack([images.sum(axis=axis) @ at / mass for axis in (2, 1)], axis=1)


def thickness_px(images: Images) -> NDArray[np.float64]:
    """Return 2 × area / outline; the outline in pixel steps is corrected by pi / 4."""
    inked = np.pad(images >= 128, ((0, 0), (1, 1), (1, 1)))
    steps = sum(np.diff(inked, axis=axis).sum(axis=(1, 2)) for axis in (1, 2))
    return 2 * inked.sum(axis=(1, 2)) / (np.pi / 4 * steps)


def nearest_mean_accuracy(images: Images, labels: NDArray[np.uint8]) -> float:
    """Classify the second half of the images by the nearest mean image of the first half."""
    flat, half = images.reshape(len(images), -1).astype(np.float32), len(images) // 2
    means = np.stack([flat[:half][labels[:half] == digit].mean(axis=0) for digit in range(10)])
    scores = flat[half:] @ means.T - 0.5 * (means**2).sum(axis=1)
    return float((scores.argmax(axis=1) == labels[half:]).mean())


def test_same_seed_same_bytes(images: Images, labels: NDArray[np.uint8]) -> None:
    assert images.shape == (4000, 28, 28)
    assert images.dtype == np.uint8
    assert synthetic.draw(labels, seed=7).tobytes() == images.tobytes()


def test_another_seed_changes_every_image(images: Images, labels: NDArray[np.uint8]) -> None:
    other = synthetic.draw(labels, seed=8)
    assert (other != images).any(axis=(1, 2)).all()


# No image, one image, and both sides of a chunk's end.
@pytest.mark.parametrize("count", [0, 1, synthetic.CHUNK - 1, synthetic.CHUNK + 1])
def test_an_image_does_not_depend_on_those_after_it(
    count: int, images: Images, labels: NDArray[np.uint8]
) -> None:
    assert np.array_equal(synthetic.draw(labels[:count], seed=7), images[:count])


def test_an_image_does_not_depend_on_other_labels(
    images: Images, labels: NDArray[np.uint8]
) -> None:
    others = labels[:10].copy()
    others[1:] = 0
    drawn = synthetic.draw(others, seed=7)
    assert np.array_equal(drawn[0], images[0])
    assert not np.array_equal(drawn[1], images[1])


def test_chunks_and_images_are_all_different(images: Images) -> None:
    assert len({image.tobytes() for image in images}) == len(images)


def test_every_glyph_has_a_path_of_its_own() -> None:
    glyphs = pen.parse_glyphs(tuple(itertools.chain(*pen.DIGIT_GLYPHS)))
    paths = glyphs.weights @ glyphs.points
    assert len({path.tobytes() for path in paths}) == len(paths) == 114
    # Control points lie in the unit box; the curve leaves it by a tenth at most.
    assert np.min(paths) > -0.1
    assert np.max(paths) < 1.1


@pytest.mark.parametrize(
    ("labels", "received"),
    [
        (np.array([3, 10]), r"int64 \(2,\) with values \[ 3 10\]"),
        (np.array([[3]]), r"int64 \(1, 1\)"),
        (np.array([3.0]), r"float64 \(1,\)"),
    ],
)
def test_labels_that_are_not_digits_are_refused(labels: NDArray[np.integer], received: str) -> None:
    with pytest.raises(DataError, match=rf"Expected labels .* got {received}.*give one digit"):
        synthetic.draw(labels, seed=0)


def test_no_glyphs_give_no_images() -> None:
    assert synthetic.draw_glyphs([], np.arange(0), seed=0).shape == (0, 28, 28)


def test_split_is_balanced_and_shuffled(test_split: tuple[Images, NDArray[np.uint8]]) -> None:
    images, labels = test_split
    assert images.shape == (10_000, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [1000] * 10
    # Neighbours agree one time in ten; 0.015 is five standard deviations for 10,000 images.
    assert abs((labels[1:] == labels[:-1]).mean() - 0.1) < 0.015


@pytest.mark.slow
def test_train_takes_seconds_and_shares_nothing_with_test(
    test_split: tuple[Images, NDArray[np.uint8]],
) -> None:
    start = time.process_time()
    images, labels = synthetic.split("train")
    elapsed_s = time.process_time() - start
    assert images.shape == (60_000, 28, 28)
    assert np.bincount(labels).tolist() == [6000] * 10
    # 4 s on one core of a server of the 2020s. The budget for both splits is 25 s.
    assert elapsed_s < 20
    drawn = {image.tobytes() for image in images}
    assert drawn.isdisjoint(image.tobytes() for image in test_split[0])


def test_the_streams_of_split_and_draw_differ(
    test_split: tuple[Images, NDArray[np.uint8]],
) -> None:
    images, labels = test_split
    assert (synthetic.draw(labels[:100], seed=0) != images[:100]).any(axis=(1, 2)).all()


@pytest.mark.slow
def test_another_seed_changes_the_split(test_split: tuple[Images, NDArray[np.uint8]]) -> None:
    images, labels = synthetic.split("test", seed=1)
    assert not np.array_equal(labels, test_split[1])
    assert not np.array_equal(images, test_split[0])


def test_digits_fill_a_box_of_20_pixels(images: Images) -> None:
    longer = np.maximum(spans(images, 1), spans(images, 2))
    assert longer.max() <= 20
    # A soft stroke end can leave the last row empty. 99.98 % of MNIST's digits fill 20 pixels.
    assert (longer == 20).mean() > 0.98
    assert longer.min() >= 17


def test_centre_of_mass_is_in_the_middle(images: Images) -> None:
    away = np.abs(centres(images) - 14).max(axis=1)
    # Moved by whole pixels: at most half a pixel away, and 0.01 for rounding to 255 grey levels.
    # A digit with nearly all its mass at one end is further away, because its box stays inside.
    assert (away <= 0.51).mean() > 0.98
    # As in MNIST, uniform in [-0.5, 0.5], whose mean absolute value is 0.25.
    assert np.abs(centres(images) - 14).mean() == pytest.approx(0.25, abs=0.02)


def test_digits_are_white_on_black(images: Images) -> None:
    assert images.min() == 0
    # Every image of MNIST reaches 254.
    assert (images.max(axis=(1, 2)) >= 250).mean() > 0.99
    assert not images[:, [0, 0, -1, -1], [0, -1, 0, -1]].any()


# Mean and standard deviation over MNIST's images. The digits were tuned to tolerances of a tenth
# and a third. Sampling 4,000 images moves a mean by less than 2 %.
@pytest.mark.parametrize(
    ("quantity", "mean", "spread"),
    [
        (lambda images: images.mean(axis=(1, 2)), 33.3, 11.1),
        (thickness_px, 2.59, 0.69),
        (lambda images: (images > 0).mean(axis=(1, 2)), 0.191, 0.053),
        (lambda images: (images >= 250).sum((1, 2)) / (images > 0).sum((1, 2)), 0.370, 0.125),
        (lambda images: spans(images, 1), 15.7, 3.9),
        (lambda images: spans(images, 2), 19.7, 1.0),
    ],
    ids=["mean grey", "thickness_px", "share above 0", "share saturated", "width", "height"],
)
def test_statistics_are_mnists(
    quantity: Callable[[Images], NDArray[Any]], mean: float, spread: float, images: Images
) -> None:
    values = quantity(images)
    assert values.mean() == pytest.approx(mean, rel=0.10)
    assert values.std() == pytest.approx(spread, rel=0.33)


def test_the_histogram_of_grey_levels_is_mnists(images: Images) -> None:
    edges = [1, 64, 128, 192, 250, 256]
    shares = np.histogram(images[images > 0], edges)[0] / (images > 0).sum()
    assert shares == pytest.approx([0.182, 0.126, 0.138, 0.169, 0.385], abs=0.04)


def test_digits_differ_but_not_by_their_mean_image_alone(
    images: Images, labels: NDArray[np.uint8]
) -> None:
    # MNIST's first 4,000 training images score 78 %, synthetic digits 68 to 70 %, chance 10 %. A
    # much higher score means too little variation, a much lower one unreadable digits.
    assert 0.60 < nearest_mean_accuracy(images, labels) < 0.80


def test_import_loads_numpy_and_the_standard_library_only() -> None:
    code = (
        "import sys, json; before = set(sys.modules); import edge_mnist.datasets.synthetic;"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = set(json.loads(done.stdout)) - sys.stdlib_module_names - {"edge_mnist", "numpy"}
    # numpy 1.24 loads modules of the Cython that built it.
    assert {name for name in foreign if "cython" not in name} == set()
