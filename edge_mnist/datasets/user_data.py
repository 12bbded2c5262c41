"""Load a user's own labelled images: arrays, IDX files or a folder per class in; a split out.

    data.npz     x_train, y_train, x_test, y_test, as in Keras's data sets; or images and labels,
                 every fifth of them for testing. `classes`, the classes' names, is optional.
    folder/      train/CLASS/*.png and test/CLASS/*.png; or CLASS/*.png, every fifth picture of a
                 class for testing.
    folder/      four IDX files under MNIST's names, such as Fashion-MNIST.

Arrays may also be given as a mapping with the names that the .npz has.

Images are uint8 (n, h, w) or (n, h, w, c), or floats in [0, 1]. Labels are (n,) or one-hot.
"""

from __future__ import annotations

import hashlib
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from . import idx_folder
from .split import SplitName

Shape = tuple[int, int, int]
Arrays = Mapping[str, NDArray[Any]]
_TEST_EVERY = 5  # data without a split: every fifth image is for testing
_MAX_CLASSES = 10_000
_MAX_BYTES = 2**31  # of all arrays of an .npz
# Errors of numpy and zipfile for a broken or hostile archive: RuntimeError for a password,
# NotImplementedError for an unknown compression, MemoryError for a header of a huge shape.
_NPZ_ERRORS: tuple[type[Exception], ...] = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, OverflowError),
    *(RuntimeError, MemoryError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error),
)
_DEFAULT_SIZE = (28, 28)  # pixels
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")  # of Pillow
# Classes of data sets that come without their names, by the SHA-256 of the bytes of `y_test`.
_KNOWN_CLASSES = {
    "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),  # Fashion-MNIST
}


class UserData(NamedTuple):
    """One split: images (n, h, w, c), labels (n,) as indices of `classes`, the classes' names."""

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    classes: tuple[str, ...]


def is_user_data(path: Path) -> bool:
    """Return whether `path` is data as this module's docstring describes it."""
    if path.is_dir():
        classes = any(_pictures(folder) for folder in path.glob("*/")) or (path / "train").is_dir()
        return classes or idx_folder.is_idx_folder(path)
    return path.suffix == ".npz" and path.is_file()


def load(data: Path | Arrays, split: SplitName, shape: Shape) -> UserData:
    """Read one split into memory and check it.

    Args:
        data: as this module's docstring describes it.
        split: `train` or `test`.
        shape: the model's input (h, w, c). Pictures are resized to it; arrays must have it.

    Raises:
        DataError: the data cannot be read, or is not as this module's docstring says.
    """
    path, arrays = _read(data)
    if arrays is None:
        images, labels, classes = _load_folder(path, split, shape)
    else:
        images, labels, classes = _select(arrays, path, split, shape)
    if not len(images):
        raise DataError(
            f"Expected images for {split} in {path}, got none; add some.", code="data-empty"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(
            f"Expected labels of 0 to {len(classes) - 1} in {path}, "
            f"got {labels.min()} to {labels.max()}; number the classes from 0.",
            code="data-labels",
        )
    return UserData(images, labels.astype(np.min_scalar_type(len(classes) - 1)), classes)


def image_shape(data: Path | Arrays) -> Shape:
    """Return the shape (h, w, c) of the images; for pictures in folders, the one to resize to.

    Raises:
        DataError: the data cannot be read, or its images have no such shape.
    """
    path, arrays = _read(data)
    if arrays is None:
        files = (file for folder in path.glob("**/") for file in _pictures(folder))
        return *_DEFAULT_SIZE, 1 if all(map(_is_grey, files)) else 3
    key = next((key for key in ("x_train", "images") if key in arrays), None)
    if key is None:
        raise _arrays_error(path, arrays)
    shape = arrays[key].shape[1:]
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise DataError(
            f"Expected images (n, h, w), (n, h, w, 1) or (n, h, w, 3) in {path}, got "
            f"{arrays[key].shape}; convert them.",
            code="data-images",
        )
    return shape


def _read(data: Path | Arrays) -> tuple[Path, Arrays | None]:
    """Return a path for messages, and the arrays; None for a folder per class."""
    if isinstance(data, Mapping):
        return Path("arrays"), {str(name): _as_array(name, array) for name, array in data.items()}
    if data.suffix == ".npz" and not data.is_dir():
        return data, _read_npz(data)
    return data, idx_folder.load(data) if idx_folder.is_idx_folder(data) else None


def _as_array(name: str, values: Any) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"Expected {name} to be an array, got rows of different lengths; make all images equal "
            f"in size.",
            code="data-arrays",
        ) from error


def _select(arrays: Arrays, path: Path, split: SplitName, shape: Shape) -> UserData:
    if f"x_{split}" in arrays and f"y_{split}" in arrays:
        images, labels = arrays[f"x_{split}"], _indices(arrays[f"y_{split}"], path)
        chosen: Sequence[int] | slice = slice(None)
        count = max(int(_indices(arrays[key], path).max()) for key in arrays if key[:2] == "y_") + 1
    elif "images" in arrays and "labels" in arrays:
        images, labels = arrays["images"], _indices(arrays["labels"], path)
        chosen = _indices_of_split(len(labels), split)
        count = int(labels.max()) + 1
    else:
        raise _arrays_error(path, arrays)
    given = len(images) if images.ndim else 0
    if given != len(labels):
        raise DataError(
            f"Expected as many labels as images in {path}, got {given} images and "
            f"{len(labels)} labels; give one label per image.",
            code="data-labels",
        )
    names = _class_names(arrays, count, path)
    return UserData(_as_pixels(images[chosen], shape, path), labels[chosen], names)


def _class_names(arrays: Arrays, count: int, path: Path) -> tuple[str, ...]:
    """Return the names of `count` classes or more."""
    if not 0 < count <= _MAX_CLASSES:
        raise DataError(
            f"Expected labels of 0 to {_MAX_CLASSES - 1} in {path}, got {count - 1} as the "
            f"greatest; number the classes from 0.",
            code="data-labels",
        )
    if "classes" not in arrays:
        names = tuple(_known_classes(arrays) or map(str, range(count)))
    else:
        names = _as_names(arrays["classes"], path)
    if len(names) < max(count, 2) or len(set(names)) < len(names):
        raise DataError(
            f"Expected two or more classes in {path}, each with a name of its own, got "
            f"{', '.join(names)[:200]} for labels of 0 to {count - 1}; check labels and classes.",
            code="data-classes",
        )
    return names


def _as_names(classes: NDArray[Any], path: Path) -> tuple[str, ...]:
    try:
        return tuple(map(str, classes.flat))
    except (SystemError, ValueError) as error:  # Of characters that Unicode does not have.
        raise DataError(
            f"Expected the names of classes as text in {path}, got characters that are none; "
            f"write them with numpy.savez.",
            code="data-classes",
        ) from error


def _known_classes(arrays: Arrays) -> Sequence[str] | None:
    labels = arrays.get("y_test")
    if labels is None or labels.dtype.kind not in "iu":
        return None
    return _KNOWN_CLASSES.get(hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest())


def _arrays_error(path: Path, arrays: Arrays) -> DataError:
    return DataError(
        f"Expected x_train, y_train, x_test and y_test, or images and labels, in {path}, "
        f"got {', '.join(arrays)[:200] or 'nothing'}; rename the arrays.",
        code="data-arrays",
    )


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with (
            np.errstate(all="ignore"),  # numpy warns of a shape whose product overflows.
            path.open("rb") as file,  # numpy leaves a broken archive open.
            np.load(file, allow_pickle=False) as archive,
        ):
            if (size := sum(one.file_size for one in archive.zip.infolist())) > _MAX_BYTES:
                raise ValueError(f"{size} bytes, over {_MAX_BYTES}")
            arrays = {name: archive[name] for name in archive.files}
    except _NPZ_ERRORS as error:
        raise DataError(
            f"Expected an .npz of plain arrays, got {path}: {' '.join(str(error).split())[:300]}; "
            "write it with numpy.savez.",
            code="data-npz",
        ) from error
    # numpy returns the bytes of a member that is no array.
    return {name: one for name, one in arrays.items() if isinstance(one, np.ndarray)}


def _indices(labels: NDArray[Any], path: Path) -> NDArray[np.integer]:
    """Turn labels (n,), (n, 1) or one-hot (n, k) into class indices (n,)."""
    if labels.ndim == 2 and labels.size and labels.dtype.kind in "biuf":
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not labels.size:
        raise DataError(
            f"Expected labels (n,) of integers, or one-hot (n, classes), in {path}, "
            f"got {labels.shape} {labels.dtype}; convert them.",
            code="data-labels",
        )
    return labels


def _as_pixels(images: NDArray[Any], shape: Shape, path: Path) -> NDArray[np.uint8]:
    """Return images (n, h, w) or (n, h, w, c), uint8 or floats in [0, 1], as (n, h, w, c) uint8."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.shape[1:] != shape:
        raise DataError(
            f"Expected images of shape (n, {', '.join(map(str, shape))}) for this model in {path}, "
            f"got {images.shape}; resize them.",
            code="data-images",
        )
    if images.dtype.kind == "f" and images.size and images.min() >= 0 and images.max() <= 1:
        images = np.rint(images * 255).astype(np.uint8)
    if images.dtype != np.uint8:
        span = ""
        if images.size and images.dtype.kind in "biuf":
            span = f" from {images.min():g} to {images.max():g}"
        raise DataError(
            f"Expected uint8 pixels, or floats in [0, 1], in {path}, got {images.dtype}{span}; "
            f"convert them.",
            code="data-images",
        )
    return images


def _load_folder(path: Path, split: SplitName, shape: Shape) -> UserData:
    root = path / split if (path / split).is_dir() else path
    # The training split defines the classes, because a class may lack test pictures.
    names = path / "train" if (path / "train").is_dir() else root
    folders = [root / folder.name for folder in sorted(names.glob("*/")) if _pictures(folder)]
    if len(folders) < 2:
        raise DataError(
            f"Expected one folder of pictures per class in {root}, got {len(folders)} such "
            "folders; give each of two or more classes a folder.",
            code="data-folders",
        )
    images, labels = [], []
    for label, folder in enumerate(folders):
        files = _pictures(folder) if folder.is_dir() else []
        if root is path:
            files = [files[index] for index in _indices_of_split(len(files), split)]
        images += [_read_picture(file, shape) for file in files]
        labels += [label] * len(files)
    classes = tuple(folder.name for folder in folders)
    return UserData(np.array(images, np.uint8).reshape(-1, *shape), np.array(labels), classes)


def _pictures(folder: Path) -> list[Path]:
    # Imported late: arrays need no Pillow.
    from ..vision.decode import PICTURE_SUFFIXES

    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)


def _is_grey(file: Path) -> bool:
    from ..vision.decode import open_picture

    return open_picture(file).mode in _GREY_MODES


def _read_picture(file: Path, shape: Shape) -> NDArray[np.uint8]:
    from PIL import Image

    from ..vision.decode import open_picture

    height, width, channels = shape
    image = open_picture(file).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(shape)


def _indices_of_split(count: int, split: SplitName) -> Sequence[int]:
    """Return the indices of a split of `count` images."""
    return [i for i in range(count) if (i % _TEST_EVERY == 0) == (split == "test")]
