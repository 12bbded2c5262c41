"""IDX files under MNIST's names that hold another data set."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from edge_mnist.datasets import find, image_shape, load
from edge_mnist.datasets.idx import ALL_FILES
from tests.conftest import find_mnist
from tests.errors import raises

FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_letters(folder: Path, *, compressed: bool = True) -> dict[str, np.ndarray]:
    """Write 60 training and 20 test images of 12×10 with 5 classes; return the arrays."""
    rng = np.random.default_rng(0)
    arrays = {}
    for file in ALL_FILES:
        count = 60 if file.key.endswith("train") else 20
        shape = (count, 12, 10) if file.key.startswith("x") else (count,)
        arrays[file.key] = rng.integers(0, 256 if len(shape) == 3 else 5, shape, np.uint8)
        content = idx(arrays[file.key])
        name = file.archive if compressed else file.name
        (folder / name).write_bytes(gzip.compress(content) if compressed else content)
    return arrays


@pytest.mark.parametrize("compressed", [True, False])
def test_a_folder_of_idx_files_is_a_user_s_own_data(tmp_path: Path, compressed: bool) -> None:
    arrays = write_letters(tmp_path, compressed=compressed)
    source = find(str(tmp_path), own=True)
    assert source.kind == "own"
    assert image_shape(source) == (12, 10, 1)
    for split in ("train", "test"):
        read = load(source, split, shape=(12, 10, 1))
        assert np.array_equal(read.images[..., 0], arrays[f"x_{split}"])
        assert np.array_equal(read.labels, arrays[f"y_{split}"])
        assert read.classes == tuple("01234")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "begins with b''"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01....", "begins with b'\\x00\\x00\\r\\x01'"),
        (idx(np.zeros((20, 12, 10), np.uint8))[:-1], "2399 bytes for an array of shape"),
        (idx(np.zeros((20, 12, 10), np.uint8)) + b"!", "2401 bytes for an array of shape"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 28, 28), "over 2147483648 bytes"),
        (b"\x1f\x8bnot gzip at all", "replace the file with a fresh download"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, text: str) -> None:
    write_letters(tmp_path, compressed=False)
    broken = tmp_path / "t10k-images-idx3-ubyte"
    broken.write_bytes(content)
    with raises("data-content", str(broken), text):
        load(find(str(tmp_path), own=True), "test", shape=(12, 10, 1))


@pytest.mark.skipif(find_mnist() is None, reason="needs the real MNIST: set EDGE_MNIST_DATA")
def test_a_damaged_mnist_is_not_taken_for_other_data(tmp_path: Path) -> None:
    write_letters(tmp_path)
    mnist = find_mnist()
    assert mnist is not None
    name = ALL_FILES[1].archive
    shutil.copy(next(mnist.rglob(name)), tmp_path / name)
    with raises("data-content", "Expected MNIST's train-images-idx3-ubyte"):
        find(str(tmp_path), own=True)


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_has_the_names_of_its_classes(tmp_path: Path) -> None:
    test = load(find(str(FASHION), own=True), "test")
    assert test.name == "own-fashion-mnist-test"
    assert len(test.images) == 10_000
    assert test.classes[0] == "T-shirt/top"
    # Keras hands the same arrays out, without the names.
    arrays = {"x_test": test.images, "y_test": test.labels}
    again = load(find({**arrays, "x_train": test.images, "y_train": test.labels}), "test")
    assert again.classes == test.classes
