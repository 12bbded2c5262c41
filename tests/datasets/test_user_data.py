"""A user's own labelled pictures, as arrays in an .npz and as folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist import DataError
from edge_mnist.datasets import find, image_shape, load
from tests.errors import raises

SHAPE = (6, 5, 3)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), np.uint8)


def test_keras_arrays_keep_their_split(tmp_path: Path) -> None:
    x, y = images(30), np.arange(30) % 3
    np.savez(tmp_path / "a.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:, None])
    source = find(str(tmp_path / "a.npz"), own=True)
    train, test = (load(source, name, shape=SHAPE) for name in ("train", "test"))
    assert (train.name, test.name) == ("own-a-train", "own-a-test")
    assert np.array_equal(train.images, x[:20])
    assert np.array_equal(test.labels, y[20:])
    assert test.classes == ("0", "1", "2")


def test_images_and_labels_are_split_and_never_shared(tmp_path: Path) -> None:
    x, y = images(25), np.eye(5, dtype=np.float32)[np.arange(25) % 5]
    names = np.array(["ant", "bee", "cat", "dog", "elk"])
    np.savez(tmp_path / "a.npz", images=x / 255, labels=y, classes=names)
    source = find(str(tmp_path / "a.npz"), own=True)
    train, test = (load(source, name, shape=SHAPE) for name in ("train", "test"))
    assert (len(train.images), len(test.images)) == (20, 5)
    assert np.array_equal(test.images, x[::5])
    assert not {i.tobytes() for i in train.images} & {i.tobytes() for i in test.images}
    assert test.classes == ("ant", "bee", "cat", "dog", "elk")


@pytest.mark.parametrize("halves", [True, False])
def test_a_folder_a_class(tmp_path: Path, halves: bool) -> None:
    for part in ("train", "test") if halves else (".",):
        for name in ("bee", "ant"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(10):
                Image.new("RGB", (50, 60), (number, 100, 0)).save(folder / f"{number}.png")
    source = find(str(tmp_path), own=True)
    test = load(source, "test", shape=SHAPE)
    assert test.classes == ("ant", "bee")
    assert test.images.shape == (20 if halves else 4, *SHAPE)
    assert load(source, "test", shape=(6, 5, 1)).images.shape[1:] == (6, 5, 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "Expected x_train, y_train, x_test and y_test, or images and labels"),
        ({"images": images(4), "labels": np.arange(3)}, "got 4 images and 3 labels"),
        (
            {"images": images(4)[:, :5], "labels": np.arange(4)},
            r"shape \(n, 6, 5, 3\) .* got \(1, 5",
        ),
        ({"images": images(4) * 1.0, "labels": np.arange(4)}, "uint8 pixels, or floats in"),
        ({"images": images(4), "labels": np.arange(4) / 2}, r"labels \(n,\) of integers"),
        ({"images": images(4), "labels": np.arange(4) - 9}, "Expected labels of 0 to"),
        ({"images": images(4), "labels": np.array([None] * 4)}, "an .npz of plain arrays"),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load(find(str(tmp_path / "a.npz"), own=True), "test", shape=SHAPE)


def test_own_data_is_refused_unless_asked_for(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=images(4), labels=np.arange(4))
    with raises("data-content", "an archive without x_t"):
        find(str(tmp_path / "a.npz"))
    (tmp_path / "b.npz").write_bytes(b"not a zip")
    with raises("data-npz", "npz", "ect", "b.npz"):
        load(find(str(tmp_path / "b.npz"), own=True), "test", shape=SHAPE)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_pictures_are_grey_unless_one_is_in_colour(
    tmp_path: Path, mode: str, channels: int
) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        Image.new("L", (50, 60)).save(tmp_path / name / "0.png")
    Image.new(mode, (50, 60)).save(tmp_path / "bee" / "1.png")
    assert image_shape(find(str(tmp_path), own=True)) == (28, 28, channels)


def test_arrays_in_memory_are_data_too() -> None:
    arrays = {"images": images(25), "labels": np.arange(25) % 5}
    source = find(arrays)
    assert image_shape(source) == SHAPE
    test = load(source, "test", shape=SHAPE)
    assert (test.name, len(test.images)) == ("own-arrays-test", 5)
    with raises("data-images", "(25, 6, 5, 2)"):
        image_shape(find({"images": images(25)[..., :2], "labels": np.arange(25)}))
    with raises("data-arrays", "got nothing"):
        image_shape(find({}))


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"labels": np.zeros(25, int)}, "data-classes", "two or more classes"),
        ({"labels": np.arange(25) * 10**9}, "data-labels", "got 24000000000 as the greatest"),
        ({"classes": np.array(list("abcda"))}, "data-classes", "a name of its own, got a, b, c"),
        ({"classes": np.array(list("abc"))}, "data-classes", "got a, b, c for labels of 0 to 4"),
        ({"classes": np.array("abc")}, "data-classes", "got abc for labels of 0 to 4"),
        ({"images": [[[1, 2]], [[3]]]}, "data-arrays", "rows of different lengths"),
        ({"images": images(25).astype(str)}, "data-images", "got <U3; convert them"),
        ({"images": images(25) * np.float32(np.nan)}, "data-images", "float32 from nan to nan"),
    ],
)
def test_bad_arrays_in_memory_are_named(
    changes: dict[str, np.ndarray], code: str, message: str
) -> None:
    arrays = {"images": images(25), "labels": np.arange(25) % 5, **changes}
    with raises(code, message):
        load(find(arrays), "train", shape=SHAPE)


@pytest.mark.parametrize("data", [None, 3, images(2), (images(2), [0, 1]), [images(2)]])
def test_data_of_another_type_is_named(data: object) -> None:
    with raises("data-kind", f"got {type(data).__name__}; put the arrays into a dict"):
        find(data)  # type: ignore[arg-type]


def test_images_without_pixels_are_named() -> None:
    with raises("data-images", "(25, 0, 5, 3)"):
        image_shape(find({"images": images(25)[:, :0], "labels": np.arange(25)}))


def test_a_folder_without_data_names_what_it_may_hold(tmp_path: Path) -> None:
    with raises("data-own", "a subfolder of pictures for each class", str(tmp_path)):
        find(tmp_path, own=True)
    with raises("data-incomplete"):
        find(tmp_path)
