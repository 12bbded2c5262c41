"""What the model saw of each picture, saved as PNG."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..system.files import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SeenFolder:
    """A folder of PNG files, named after the pictures they come from; made if need be.

    Raises:
        OutputError: it is a file, or cannot be written to.
    """

    def __init__(self, folder: Path, pictures: Iterable[str]) -> None:
        self._folder = folder
        self._pictures = {Path(picture).resolve() for picture in pictures}
        self._taken: dict[Path, str] = {}
        if folder.exists() and not folder.is_dir():
            raise OutputError(
                f"Expected a folder for the preprocessed pictures, got the file {folder}; "
                f"choose another."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise OutputError(
                f"Expected to write to the folder {folder}, got: {error.strerror}; choose another."
            ) from error

    def save(self, picture: str, images: Iterable[NDArray[np.uint8]], *, numbered: bool) -> None:
        """Write what was seen of one picture: NAME.png, or `numbered` NAME-1.png, NAME-2.png, …

        Raises:
            OutputError: it would overwrite a picture that is read, or what another one gave.
        """
        stem = "stdin" if picture == "-" else Path(picture).stem
        for number, image in enumerate(images, 1):
            path = self._folder / (f"{stem}-{number}.png" if numbered else f"{stem}.png")
            if path.resolve() in self._pictures:
                raise OutputError(
                    f"Expected a folder without the pictures themselves, got {self._folder}, "
                    f"where {path.name} would be overwritten; choose another."
                )
            if self._taken.setdefault(path, picture) != picture:
                raise OutputError(
                    f"Expected pictures of different names to save what was seen, got {picture} "
                    f"and {self._taken[path]}; save them one after the other."
                )
            write_atomically(path, _png(image))


def _png(image: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
