"""Where MNIST is found: folders in every layout, files, $EDGE_MNIST_DATA and the cache."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_mnist.datasets import Source, find, idx, load, mnist
from edge_mnist.errors import DataError
from tests.datasets.support import (
    TEST_IMAGES,
    TEST_LABELS,
    Mirror,
    foreign_content,
    write_idx,
)
from tests.errors import raises


def plain(source: Path, to: Path) -> None:
    for file in idx.FILES["test"]:
        write_idx(to, file, gzip.decompress((source / file.archive).read_bytes()))


def dotted(source: Path, to: Path) -> None:
    to.mkdir()
    for file in idx.FILES["test"]:
        shutil.copy(source / file.archive, to / file.archive.replace("-idx", ".idx"))


def checkout(source: Path, to: Path) -> None:
    shutil.copytree(source, to / "mnist", ignore=shutil.ignore_patterns("train*"))


def torchvision(source: Path, to: Path) -> None:
    plain(source, to / "MNIST" / "raw")


def keras(source: Path, to: Path) -> None:
    to.mkdir()
    images, labels = mnist.load(source, "test")
    np.savez_compressed(to / "mnist.npz", x_test=images, y_test=labels)


def decompressed_by_a_browser(source: Path, to: Path) -> None:
    plain(source, to)
    for file in idx.FILES["test"]:
        (to / file.name).rename(to / file.archive)


@pytest.mark.parametrize(
    "layout", [plain, dotted, checkout, torchvision, keras, decompressed_by_a_browser]
)
def test_a_folder_in_every_layout_gives_the_same_split(
    layout: Callable[[Path, Path], None], real: Path, tmp_path: Path
) -> None:
    layout(real, tmp_path / "data")
    source = find(str(tmp_path / "data"), splits=("test",))
    split = load(source, "test")
    assert source == Source("mnist", tmp_path / "data", 0)
    assert split.name == "mnist-test"
    assert split.images.shape == (10000, 28, 28) and split.images.dtype == np.uint8
    assert split.labels[:5].tolist() == [7, 2, 1, 0, 4]
    content = split.images.tobytes() + split.labels.tobytes()
    assert split.sha256 == hashlib.sha256(content).hexdigest()


def test_the_training_split_is_whole_and_a_limit_keeps_its_first_images(real: Path) -> None:
    source = find(str(real))
    split = load(source, "train")
    content = split.images.tobytes() + split.labels.tobytes()
    assert split.sha256 == hashlib.sha256(content).hexdigest()
    limited = load(source, "train", limit=7)
    assert limited.labels.tolist() == [5, 0, 4, 1, 9, 2, 1]
    assert limited.images.shape == (7, 28, 28)
    assert (limited.name, limited.sha256) == ("mnist-train", split.sha256)


@pytest.mark.parametrize("name", [file.name for file in idx.FILES["test"]])
def test_a_file_brings_its_sibling(name: str, real: Path, tmp_path: Path) -> None:
    plain(real, tmp_path / "data")
    source = find(str(tmp_path / "data" / name), splits=("test",))
    assert load(source, "test").labels[0] == 7


def test_an_npz_of_any_name_is_accepted(real: Path, tmp_path: Path) -> None:
    keras(real, tmp_path / "data")
    npz = (tmp_path / "data" / "mnist.npz").rename(tmp_path / "digits.NPZ")
    assert load(find(str(npz), splits=("test",)), "test").labels[0] == 7


def test_the_test_split_is_read_without_a_look_at_the_training_images(
    real: Path, tmp_path: Path
) -> None:
    plain(real, tmp_path)
    for file in idx.FILES["train"]:
        write_idx(tmp_path, file, b"not MNIST")
    assert load(find(str(tmp_path), splits=("test",)), "test").labels[0] == 7
    with raises("data-content", "train-images-idx3-ubyte"):
        load(Source("mnist", tmp_path, 0), "train")


def test_the_environment_variable_comes_before_the_cache(
    real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_MNIST_DATA", str(real))
    assert find("auto", splits=("test",)).path == real
    assert find("mnist", splits=("test",)).path == real


def test_a_file_changed_after_find_is_checked_again(real: Path, tmp_path: Path) -> None:
    plain(real, tmp_path)
    source = find(str(tmp_path), splits=("test",))
    write_idx(tmp_path, TEST_LABELS, foreign_content(TEST_LABELS, fill=3))
    with raises("data-content", "other content of the same size"):
        load(source, "test")


def test_an_empty_folder_names_the_files_it_lacks(tmp_path: Path) -> None:
    with raises("data-incomplete", "t10k-images", "t10k-labels"):
        find(str(tmp_path), splits=("test",))


def test_a_folder_with_half_a_split_names_the_other_half(tmp_path: Path) -> None:
    path = write_idx(tmp_path, TEST_IMAGES, b"")
    with raises("data-incomplete", "t10k-labels-idx1-ubyte"):
        find(str(tmp_path), splits=("test",))
    with raises("data-incomplete", "t10k-labels"):
        find(str(path), splits=("test",))


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digits.csv").write_text("5,0,0\n")
    with raises("data-path", "train-images", "digits.csv"):
        find(str(tmp_path / "digits.csv"))


@pytest.mark.parametrize("data", ["auto", "mnist"])
def test_an_unusable_environment_variable_is_an_error_and_no_fall_through(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_MNIST_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(
        DataError, match=r"The variable EDGE_MNIST_DATA cannot be used: Expected .*nowhere"
    ):
        find(data)


def test_a_bad_file_in_the_cache_is_named_and_downloaded_anew(
    mirrors: Callable[..., Mirror],
    test_archives: dict[str, bytes],
    cache: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    mirror = mirrors(test_archives)
    cache.mkdir(parents=True)
    (cache / TEST_IMAGES.archive).write_bytes(test_archives[TEST_IMAGES.archive])
    bad = cache / TEST_LABELS.archive
    bad.write_bytes(test_archives[TEST_LABELS.archive][:-100])
    assert load(find("auto", splits=("test",)), "test").labels[0] == 7
    assert (
        f"edge-mnist: warning: bad file in the cache: {bad} is an archive that ends early"
        in capfd.readouterr().err
    )
    assert [path for path, _ in mirror.gets] == [TEST_LABELS.archive]


def test_a_bad_file_in_the_cache_is_not_used_without_a_network(
    refused: str, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir(parents=True)
    (cache / TEST_IMAGES.archive).write_bytes(b"half a fi")
    assert find("auto", splits=("test",)).kind == "synthetic"
    assert f"{cache / TEST_IMAGES.archive} is a foreign file" in capfd.readouterr().err


def test_a_cache_that_cannot_be_made_is_named(cache: Path, refused: str) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=re.escape(str(cache)) + r": cannot be made \("):
        find("mnist")
