"""Pictures that the tests of this room draw: one digit on paper, as a camera sees it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def photo(digit: np.ndarray, *, paper: int = 220, ink: int = 40, size: int = 400) -> Image.Image:
    """Return a digit of half the size, dark on light paper, above the middle."""
    alpha = np.asarray(Image.fromarray(digit).resize((size // 2, size // 2), Image.BICUBIC)) / 255
    page = np.full((size, size), paper, np.float64)
    page[20 : 20 + size // 2, 60 : 60 + size // 2] += alpha * (ink - paper)
    return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8))


def as_image(pixels: np.ndarray) -> Image.Image:
    """Return grey levels of any dtype as a picture of 8 bits."""
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def noisy_paper() -> np.ndarray:
    """Return paper of grey level 225 with a camera's noise, (240, 240) float."""
    return 225 + 3 * np.random.default_rng(0).standard_normal((240, 240))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    """Return a picture as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
