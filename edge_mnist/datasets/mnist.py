"""Find and load MNIST: a path, $EDGE_MNIST_DATA, the cache folder or a mirror in; arrays out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from . import idx
from .download import VARIABLE, UnavailableError, download_files
from .split import SplitName

# Of images.tobytes() + labels.tobytes(), which the SHA-256 in `idx` determine.
SPLIT_SHA256: dict[SplitName, str] = {
    "train": "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b",
    "test": "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b",
}


def find(splits: Sequence[SplitName]) -> Path:
    """Locate MNIST at $EDGE_MNIST_DATA or in the cache folder, and download what is missing.

    Raises:
        UnavailableError: MNIST is not in the cache and no mirror gives it.
        DataError: $EDGE_MNIST_DATA is set to a path without MNIST.
    """
    if path := os.environ.get(VARIABLE):
        try:
            return find_at(path, splits)
        except DataError as error:
            raise DataError(
                f"The variable {VARIABLE} cannot be used: {error}", code=error.code
            ) from error
    cache = cache_folder()
    if missing := _missing(cache, _files(splits)):
        download_files(missing, cache)
    return cache


def find_at(path: str | Path, splits: Sequence[SplitName]) -> Path:
    """Check every file of `splits` in a folder or file; return `path`, its ~ expanded.

    Raises DataError where `path` does not hold MNIST.
    """
    try:
        path = Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"Expected the path of MNIST, got {path}: {error}", code="data-path"
        ) from error
    for file, place in _find_files(path, _files(splits)).items():
        idx.read_array(place, file)
    return path


def load(path: Path, split: SplitName) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read and check a split: images (n, 28, 28) and labels (n,), read-only.

    Raises DataError where a file is missing or its content is not MNIST's.
    """
    images, labels = (
        idx.read_array(place, file) for file, place in _find_files(path, idx.FILES[split]).items()
    )
    return images, labels


def cache_folder() -> Path:
    """Return the folder for downloads, in the operating system's folder for caches.

    Raises UnavailableError where the user has no home folder.
    """
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UnavailableError({"the cache folder": f"no home folder ({error})"}) from error
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "edge-mnist" / "mnist"


def _files(splits: Sequence[SplitName]) -> list[idx.MnistFile]:
    return [file for split in splits for file in idx.FILES[split]]


def _find_files(path: Path, files: Sequence[idx.MnistFile]) -> dict[idx.MnistFile, Path]:
    """Map `files`, in their order, to paths. An .npz stands for several files."""
    try:
        if path.is_dir():
            return _find_in_folder(path, files)
        if path.is_file():
            return _find_beside(path, files)
    except OSError as error:
        raise DataError(
            f"Expected MNIST at {path}, which cannot be read: {idx.describe(error)}; "
            "check the path and its permissions",
            code="data-path",
        ) from error
    raise DataError(
        f"Expected a folder or file of MNIST, got {path}, which does not exist; "
        "check the path, or give auto, mnist or synthetic to --data",
        code="data-path",
    )


def _find_in_folder(folder: Path, files: Sequence[idx.MnistFile]) -> dict[idx.MnistFile, Path]:
    """Search the folder itself and the subfolders that this project and torchvision use."""
    fewest = list(files)
    for place in (folder, folder / "mnist", folder / "MNIST" / "raw"):
        found = idx.find_spellings(place, files)
        if len(found) == len(files):
            return found
        if (npz := place / "mnist.npz").is_file():
            return dict.fromkeys(files, npz)
        fewest = min(fewest, [file for file in files if file not in found], key=len)
    raise DataError(
        f"Expected {idx.join_names(files)} (plain or .gz) or mnist.npz in {folder}, "
        f"got no {idx.join_names(fewest)}; check the path, or put the files there",
        code="data-incomplete",
    )


def _find_beside(path: Path, files: Sequence[idx.MnistFile]) -> dict[idx.MnistFile, Path]:
    """Take an .npz as it is; search the other files in the folder of an IDX file."""
    if path.suffix.lower() == ".npz":
        return dict.fromkeys(files, path)
    if not any(path.name in file.spellings for file in idx.ALL_FILES):
        raise DataError(
            f"Expected an .npz or one of {idx.join_names(idx.ALL_FILES)} (plain or .gz), "
            f"got {path}; give the folder that holds MNIST",
            code="data-path",
        )
    found = idx.find_spellings(path.parent, files)
    if missing := [file for file in files if file not in found]:
        raise DataError(
            f"Expected {idx.join_names(files)} beside each other, got {path} without "
            f"{idx.join_names(missing)}; put the files in one folder",
            code="data-incomplete",
        )
    return {file: path if path.name in file.spellings else found[file] for file in files}


def _missing(cache: Path, files: Sequence[idx.MnistFile]) -> list[idx.MnistFile]:
    """Return the files that the cache lacks or holds damaged. Warn about the damaged ones."""
    missing = []
    for file in files:
        place = cache / file.archive
        try:
            idx.read_cached(place, file)
        except FileNotFoundError:
            missing.append(file)
        except (OSError, idx.ContentError) as error:
            import click

            warning = (
                f"edge-mnist: warning: bad file in the cache: {place} is {idx.describe(error)}"
            )
            click.echo(warning, err=True)
            missing.append(file)
    return missing
