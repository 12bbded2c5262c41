"""Pictures of every kind -> a PIL image of 8 bits a channel, upright, without transparency."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = str | PathLike[str] | bytes | Image.Image | NDArray[np.generic]

# A 48-megapixel phone camera is the largest honest source; a picture's size is read from its
# header, so a larger one is refused before any of it is decoded.
MAX_PIXELS = 50_000_000
# Pillow decodes a WebP whole, several times in memory: 770 MB for 49 megapixels.
_MAX_PIXELS_OF = {"WEBP": MAX_PIXELS // 2}
# Pillow hands these to Ghostscript, or to Windows.
_PROGRAMS = ("EPS", "WMF")
# Where a picture is only searched, this many pixels a side are enough: a digit a fiftieth of it
# is still as large as MNIST's.
_PAGE = 1200
# Seven rows of dots are what the coarsest displays write a digit in.
_LEAST_SIDE = 7
# What Pillow raises for broken files, by format: OSError (most), SyntaxError (PNG),
# ValueError and struct.error (TIFF, ICO), EOFError (GIF), zlib.error (PNG).
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


class Page(NamedTuple):
    """A picture made ready to be searched: `image` is L or RGB, `scale` times as large before."""

    image: Image.Image
    scale: float


def open_page(picture: Picture) -> Page:
    """Return a picture of any kind upright, without transparency, and not larger than need be.

    Raises:
        ImageError: it cannot be read, or is too large.
    """
    image, original = _open(picture, enough=_PAGE)
    image = eight_bits(_lessened(image))
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    if max(image.size) > 2 * _PAGE:
        image = image.reduce(max(image.size) // _PAGE)
    return Page(image, original / max(image.size))


def _lessened(image: Image.Image) -> Image.Image:
    """Return a large picture smaller, before anything copies it wide.

    Deep or transparent pixels are copied several times: of 50 megapixels that took over 1 GB.
    """
    factor = max(image.size) // _PAGE
    if factor < 2 or image.mode == "1":
        return image
    if image.mode.startswith("I;"):
        image = image.convert("I")
    elif image.mode not in ("L", "RGB", "CMYK", "I", "F"):
        image = image.convert("RGBA")
    return image.reduce(factor)


def open_picture(picture: Picture) -> Image.Image:
    """Return a picture of any kind as a decoded PIL image, turned as its EXIF data says."""
    return _open(picture)[0]


def _open(picture: Picture, enough: int | None = None) -> tuple[Image.Image, int]:
    """Return a picture and its longer side; decoded smaller if `enough` pixels a side are left."""
    if isinstance(picture, np.ndarray):
        return _decode(_from_array(picture), "the array", enough)
    if isinstance(picture, Image.Image):
        return _decode(picture, "the picture", None)
    if isinstance(picture, bytes | bytearray | memoryview):
        content = bytes(picture)
        return _read(io.BytesIO(content), f"{len(content)} bytes", enough)
    if isinstance(picture, str | PathLike):
        return _read_path(Path(picture), enough)
    raise ImageError(
        f"Expected a path, bytes, a PIL image or an array, got {type(picture).__name__}."
    )


def _read_path(path: Path, enough: int | None) -> tuple[Image.Image, int]:
    try:
        with path.open("rb") as file:
            return _read(file, str(path), enough)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"Expected a picture at {path}, got: {reason}.") from error


def count_pixels(content: bytes) -> int:
    """Return how many pixels a picture has, as its header says; nothing is unpacked.

    Raises:
        ImageError: it is no picture.
    """
    image = _header(io.BytesIO(content), f"{len(content)} bytes")
    return image.width * image.height


def _read(file: IO[bytes], name: str, enough: int | None) -> tuple[Image.Image, int]:
    return _decode(_header(file, name), name, enough)


def _header(file: IO[bytes], name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures and refuses huge ones; the limit here is lower.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file)
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large(name, str(error))) from error
    except UnidentifiedImageError as error:
        file.seek(0)
        what = "another kind of file" if file.read(1) else "an empty file"
        raise ImageError(f"Expected a picture (PNG, JPEG, …), got {what}: {name}.") from error
    except _DECODE_ERRORS as error:
        raise ImageError(
            f"Expected a whole picture, got a broken one: {name} ({error})."
        ) from error


def _too_large(name: str, size: str, most: int = MAX_PIXELS) -> str:
    return (
        f"Expected a picture of at most {most // 10**6} megapixels, got {name} ({size}); "
        f"make it smaller first."
    )


def _decode(image: Image.Image, name: str, enough: int | None) -> tuple[Image.Image, int]:
    size = f"{image.width}×{image.height}"
    most = _MAX_PIXELS_OF.get(image.format or "", MAX_PIXELS)
    if image.width * image.height > most:
        raise ImageError(_too_large(name, size, most))
    if max(image.size) < _LEAST_SIDE or min(image.size) < 1:
        raise ImageError(
            f"Expected a picture of {_LEAST_SIDE} pixels or more a side, got {name} ({size}); "
            f"no digit can be told in that."
        )
    if image.format in _PROGRAMS:
        raise ImageError(
            f"Expected a picture of pixels, got a drawing ({image.format}) in {name}, which "
            f"another program would have to run; save it as PNG first."
        )
    longer = max(image.size)
    try:
        if enough is not None:
            # A JPEG is decoded at a half, a quarter or an eighth for less than the price.
            image.draft(None, (enough, enough))
        image.load()
        return ImageOps.exif_transpose(image), longer
    except _DECODE_ERRORS as error:
        raise ImageError(
            f"Expected a whole picture, got a truncated or broken one: {name} ({error})."
        ) from error


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if not (array.ndim == 2 or colour) or 0 in array.shape or array.dtype.kind not in "buif":
        raise ImageError(
            f"Expected an image of shape (h, w), (h, w, 3) or (h, w, 4), "
            f"got {array.shape} {array.dtype}; for many MNIST images use predict_batch."
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ImageError(_too_large("an array", "×".join(map(str, array.shape))))
    values = array.astype(np.float64)
    # Integers wider than 16 bits hold 8-bit pixels that some calculation has widened.
    top = 1.0 if array.dtype.kind in "bf" else 65535.0 if array.dtype == np.uint16 else 255.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise ImageError(
            f"Expected {array.dtype} pixels in [0, {top:g}], "
            f"got {values.min():g} to {values.max():g}; scale them first."
        )
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def eight_bits(image: Image.Image) -> Image.Image:
    """Return a picture of 8 bits a channel, without transparency."""
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image)
    if "A" in image.getbands() or "transparency" in image.info:
        return _flatten(image.convert("RGBA"))
    return image


def _from_deep(image: Image.Image) -> Image.Image:
    """Return a 16-bit or float picture as 8 bits, its own range stretched to [0, 255]."""
    values = np.asarray(image, np.float64)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    return Image.fromarray(np.rint((values - low) * (255 / max(high - low, 1))).astype(np.uint8))


def _flatten(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on the background its ink shows on: light ink on black."""
    alpha = np.asarray(image.getchannel("A"), np.float32)
    shade = np.asarray(image.convert("RGB").convert("L"), np.float32)
    cover = float(alpha.sum())
    light = alpha.min() < 255 and float((shade * alpha).sum()) > 127 * cover > 0
    background = Image.new("RGBA", image.size, "black" if light else "white")
    return Image.alpha_composite(background, image)
