"""Save the images that a model read, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ..errors import OutputError
from ..system.files import write_atomically
from ..system.temporary import clear_abandoned, temporary_file
from .arrays import Grey


class ModelInputFolder:
    """A folder of PNG files, named after the pictures they come from.

    Args:
        folder: is made if it is missing.
        pictures: paths of the pictures that are read; none is overwritten.

    Raises:
        OutputError: `folder` is a file, or cannot be written to.
    """

    def __init__(self, folder: Path, pictures: Iterable[str]) -> None:
        self._folder = folder
        self._pictures = {Path(picture).resolve() for picture in pictures}
        self._picture_by_file: dict[Path, str] = {}
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"Expected a folder for the preprocessed pictures, got the file {folder}; "
                f"choose another.",
                code="output-folder",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            clear_abandoned(folder)
            with temporary_file(folder):
                pass
        except OSError as error:
            raise OutputError(
                f"Expected to write to the folder {folder}, got: {error.strerror}; choose another.",
                code="output-unwritable",
            ) from error

    def save(self, picture: str, images: Iterable[Grey], *, numbered: bool) -> None:
        """Write the images that a model read of one picture.

        Args:
            picture: its path, or "-" for standard input, which is named stdin.
            images: uint8 (h, w) or (h, w, 3).
            numbered: NAME-1.png, NAME-2.png, … instead of NAME.png.

        Raises:
            OutputError: a file would replace one of the pictures, or the images of another one.
        """
        stem = "stdin" if picture == "-" else Path(picture).stem
        for number, image in enumerate(images, 1):
            path = self._folder / (f"{stem}-{number}.png" if numbered else f"{stem}.png")
            self._check_free(path, picture)
            content = io.BytesIO()
            Image.fromarray(image).save(content, "PNG")
            write_atomically(path, content.getvalue())

    def _check_free(self, path: Path, picture: str) -> None:
        if path.resolve() in self._pictures:
            raise OutputError(
                f"Expected a folder without the pictures themselves, got {self._folder}, "
                f"where {path.name} would be overwritten; choose another.",
                code="output-is-input",
            )
        other = self._picture_by_file.setdefault(path, picture)
        if other != picture:
            raise OutputError(
                f"Expected pictures of different names to save their model inputs, got {picture} "
                f"and {other}; save them one after the other.",
                code="output-name",
            )
