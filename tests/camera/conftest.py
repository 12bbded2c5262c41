"""A drawn clip of a hand-held page, once for all tests."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from edge_mnist_export.data import drawn_clip
from tests.conftest import once

DIGITS, SECONDS = (7, 3, 0), 0.8


@pytest.fixture(scope="session")
def frames() -> list[Image.Image]:
    """The frames of the clip: 20 for each of `DIGITS`."""
    return list(drawn_clip.frames(DIGITS, seconds=SECONDS))


@pytest.fixture(scope="session")
def clip(together: Path, frames: list[Image.Image]) -> Path:
    """The clip as Motion JPEG."""

    def write(path: Path) -> None:
        path.write_bytes(b"".join(map(jpeg, frames)))

    return once(together / "clip.mjpeg", write)


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
