"""A user's own labelled images: arrays in an .npz, or a folder a class.

    data.npz     x_train, y_train, x_test, y_test, as Keras keeps its data sets; or images and
                 labels, of which every fifth is for testing. Optionally `classes`: their names.
    folder/      train/CLASS/*.png and test/CLASS/*.png; or CLASS/*.png, of which every fifth is
                 for testing.

Images are uint8 (n, h, w) or (n, h, w, c), or floats in [0, 1]; labels are (n,) or one-hot.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..system.files import PICTURES
from . import SplitName

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, int, int]
_TEST_EVERY = 5


def looks_like(path: Path) -> bool:
    """Whether `path` is an .npz, or a folder of folders with pictures."""
    if path.is_dir():
        return any(_pictures(folder) for folder in path.glob("*/")) or (path / "train").is_dir()
    return path.suffix == ".npz" and path.is_file()


def read(
    path: Path, split: SplitName, shape: Shape
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[str, ...]]:
    """Return images (n, h, w, c) uint8, labels (n,) unsigned and the names of the classes.

    `shape` is what the model takes, (h, w, c): pictures are brought to it, arrays must have it.

    Raises:
        DataError: the data cannot be read, or is not as described above.
    """
    images, labels, classes = (_read_folder if path.is_dir() else _read_npz)(path, split, shape)
    if not len(images):
        raise DataError(f"Expected images for {split} in {path}, got none.")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(
            f"Expected labels of 0 to {len(classes) - 1} in {path}, "
            f"got {labels.min()} to {labels.max()}."
        )
    return images, labels.astype(np.min_scalar_type(len(classes) - 1)), classes


def _read_npz(
    path: Path, split: SplitName, shape: Shape
) -> tuple[NDArray[np.uint8], NDArray[np.integer], tuple[str, ...]]:
    arrays = _arrays(path)
    if f"x_{split}" in arrays and f"y_{split}" in arrays:
        images, labels = arrays[f"x_{split}"], _indices(arrays[f"y_{split}"], path)
        chosen: Sequence[int] | slice = slice(None)
        count = max(int(_indices(arrays[key], path).max()) for key in arrays if key[:2] == "y_") + 1
    elif "images" in arrays and "labels" in arrays:
        images, labels = arrays["images"], _indices(arrays["labels"], path)
        count = int(labels.max()) + 1
        chosen = _of_split(len(labels), split)
    else:
        raise DataError(
            f"Expected x_train, y_train, x_test and y_test, or images and labels, in {path}, "
            f"got {', '.join(arrays) or 'nothing'}."
        )
    if len(images) != len(labels):
        raise DataError(
            f"Expected as many labels as images in {path}, got {len(images)} images and "
            f"{len(labels)} labels."
        )
    names = arrays.get("classes", np.arange(count))
    return _pixels(images[chosen], shape, path), labels[chosen], tuple(map(str, names))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"Expected an .npz of plain arrays, got {path}: {' '.join(str(error).split())}"
        ) from error


def _indices(labels: NDArray[Any], path: Path) -> NDArray[np.integer]:
    """Return labels (n,), (n, 1) or one-hot (n, k) as indices (n,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        labels = labels.argmax(axis=1)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not labels.size:
        raise DataError(
            f"Expected labels (n,) of integers, or one-hot (n, classes), in {path}, "
            f"got {labels.shape} {labels.dtype}."
        )
    return labels


def _pixels(images: NDArray[Any], shape: Shape, path: Path) -> NDArray[np.uint8]:
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.shape[1:] != shape:
        raise DataError(
            f"Expected images of shape (n, {', '.join(map(str, shape))}) for this model in {path}, "
            f"got {images.shape}."
        )
    if images.dtype.kind == "f" and images.size and images.min() >= 0 and images.max() <= 1:
        images = np.rint(images * 255).astype(np.uint8)
    if images.dtype != np.uint8:
        raise DataError(
            f"Expected uint8 pixels, or floats in [0, 1], in {path}, got {images.dtype} from "
            f"{images.min():g} to {images.max():g}."
        )
    return images


def _read_folder(
    path: Path, split: SplitName, shape: Shape
) -> tuple[NDArray[np.uint8], NDArray[np.integer], tuple[str, ...]]:
    root = path / split if (path / split).is_dir() else path
    # The training split says which classes there are: one may lack pictures to test with.
    names = path / "train" if (path / "train").is_dir() else root
    folders = [root / folder.name for folder in sorted(names.glob("*/")) if _pictures(folder)]
    if len(folders) < 2:
        raise DataError(
            f"Expected a folder of pictures a class in {root}, got {len(folders)} such folders."
        )
    images, labels = [], []
    for label, folder in enumerate(folders):
        files = _pictures(folder) if folder.is_dir() else []
        if root is path:
            files = [files[index] for index in _of_split(len(files), split)]
        images += [_picture(file, shape) for file in files]
        labels += [label] * len(files)
    classes = tuple(folder.name for folder in folders)
    return np.array(images, np.uint8).reshape(-1, *shape), np.array(labels), classes


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)


def _picture(file: Path, shape: Shape) -> NDArray[np.uint8]:
    from PIL import Image

    from ..vision.decode import open_picture

    height, width, channels = shape
    image = open_picture(file).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(shape)


def _of_split(count: int, split: SplitName) -> Sequence[int]:
    """Return the indices of a split: every fifth is for testing."""
    return [i for i in range(count) if (i % _TEST_EVERY == 0) == (split == "test")]
