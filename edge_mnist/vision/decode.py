"""Decode pictures of every kind to upright PIL images of 8 bits a channel, without transparency."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ..errors import ImageError
from ..system import install


class Page:
    """An upright picture in the two sizes that digits are searched in.

    Attributes:
        longer_side: of the picture itself, in pixels.
        small: an L or RGB image for a first, cheap search; the picture itself if it is small.
    """

    def __init__(
        self, longer_side: int, small: Image.Image, large: Callable[[], Image.Image]
    ) -> None:
        self.longer_side, self.small, self._large = longer_side, small, large

    @cached_property
    def image(self) -> Image.Image:
        """An L or RGB image for the full search. It may have to be decoded again.

        Raises:
            ImageError: the picture cannot be read any more.
        """
        return self._large()

    @property
    def scale(self) -> float:
        """How many times larger than `image` the picture is."""
        return self.longer_side / max(self.image.size)


Picture = str | PathLike[str] | bytes | Image.Image | NDArray[np.generic] | Page

PICTURE_SUFFIXES = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"),
        # Phones write these. They may not be readable here, which is then said.
        *(".heic", ".heif", ".avif"),
    )
)
# Pixels: a phone camera of 48 megapixels is the largest usual source. The size stands in a
# picture's header, so a larger one is refused before it is decoded.
MAX_PIXELS = 50_000_000
# Pillow holds a WebP several times in memory: 770 MB for 49 megapixels.
_MAX_PIXELS_BY_FORMAT = {"WEBP": MAX_PIXELS // 2}
# Bytes: the largest picture uncompressed, three bytes a pixel.
MAX_PICTURE_BYTES = 3 * MAX_PIXELS
# Brands of HEIC files, which Pillow reads with pillow-heif only. AVIF is such a file of another
# brand; Pillow reads it since 11.3.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
# Pillow starts Ghostscript for EPS; WMF is drawn by Windows.
_EXTERNAL_FORMATS = ("EPS", "WMF")
# Pixels of a page's longer side. A digit of a fiftieth of it is still larger than MNIST's 20.
_PAGE_SIDE = 1200
# Pixels: the longer side of a page's small image is less than twice this.
_SMALL_SIDE = 160
# Pixels: the coarsest dot-matrix displays write a digit in seven rows.
_MIN_SIDE = 7
# Pillow's errors for broken files, by format: OSError (most), SyntaxError (PNG),
# ValueError and struct.error (TIFF, ICO), EOFError (GIF), zlib.error (PNG).
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def open_page(picture: Picture) -> Page:
    """Return a picture in the sizes that the search for digits needs.

    A page is returned as it is, so that a caller can decode first and search later.

    Raises:
        ImageError: the picture cannot be read, or is too large.
    """
    if isinstance(picture, Page):
        return picture
    image, longer_side = _open(picture, target_side=_SMALL_SIDE)
    if longer_side > max(image.size):  # A JPEG, of which only a part was decoded.
        return Page(longer_side, _to_page(image, _SMALL_SIDE), lambda: _open_large(picture))
    large = _to_page(image, _PAGE_SIDE)
    return Page(longer_side, _shrink(large, _SMALL_SIDE), lambda: large)


def _open_large(picture: Picture) -> Image.Image:
    return _to_page(_open(picture, target_side=_PAGE_SIDE)[0], _PAGE_SIDE)


def _to_page(image: Image.Image, side: int) -> Image.Image:
    """Return an L or RGB image whose longer side is less than twice `side`."""
    image = to_eight_bits(_reduce(image, side))
    return _shrink(image.convert("L" if image.mode in ("1", "L") else "RGB"), side)


def _shrink(image: Image.Image, side: int) -> Image.Image:
    factor = max(image.size) // side
    return image.reduce(factor) if factor > 1 else image


def open_picture(picture: Picture) -> Image.Image:
    """Return a picture in full size and its own mode, turned as its EXIF data says.

    Args:
        picture: as for `preprocess.preprocess`.

    Raises:
        ImageError: the picture cannot be read, or is too large.
    """
    return _open(picture)[0]


def count_pixels(content: bytes) -> int:
    """Return width times height of an encoded picture. Only its header is read.

    Raises:
        ImageError: the bytes are no picture.
    """
    image = _open_header(io.BytesIO(content), f"{len(content)} bytes")
    return image.width * image.height


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a picture of 8 bits a channel, without transparency."""
    if image.mode.startswith("I") or image.mode == "F":
        return _stretch_to_eight_bits(image)
    if "A" in image.getbands() or "transparency" in image.info:
        return _flatten(image.convert("RGBA"))
    return image


def _reduce(image: Image.Image, side: int) -> Image.Image:
    """Reduce a large picture before conversions copy it: with 50 megapixels they took over 1 GB."""
    factor = max(image.size) // side
    if factor < 2 or image.mode == "1":
        return image
    if image.mode.startswith("I;"):
        image = image.convert("I")
    elif image.mode not in ("L", "RGB", "CMYK", "I", "F"):
        image = image.convert("RGBA")
    return image.reduce(factor)


def _open(picture: Picture, target_side: int | None = None) -> tuple[Image.Image, int]:
    """Return a picture and its longer side; a file may be decoded smaller, to `target_side`."""
    if isinstance(picture, np.ndarray):
        return _decode(_from_array(picture), "the array", target_side)
    if isinstance(picture, Image.Image):
        return _decode(picture, "the picture", None)
    if isinstance(picture, bytes | bytearray | memoryview):
        content = bytes(picture)
        name = f"{len(content)} bytes"
        return _decode(_open_header(io.BytesIO(content), name), name, target_side)
    if isinstance(picture, str | PathLike):
        return _open_path(Path(picture), target_side)
    raise ImageError(
        f"Expected a path, bytes, a PIL image or an array, got {type(picture).__name__}; "
        f"convert it first.",
        code="image-type",
    )


def _open_path(path: Path, target_side: int | None) -> tuple[Image.Image, int]:
    try:
        with path.open("rb") as file:
            return _decode(_open_header(file, str(path)), str(path), target_side)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"Expected a picture at {path}, got: {reason}.", code="image-missing"
        ) from error


def _open_header(file: IO[bytes], name: str) -> Image.Image:
    """Return a picture of which only the header is read."""
    try:
        with warnings.catch_warnings():
            # Of sizes, where Pillow's own limits are higher than MAX_PIXELS; and of broken EXIF
            # data, without which a picture can be read.
            warnings.simplefilter("ignore")
            return _identify(file)
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except UnidentifiedImageError as error:
        file.seek(0)
        raise _unidentified(file.read(12), name) from error
    except _DECODE_ERRORS as error:
        raise ImageError(
            f"Expected a whole picture, got a broken one: {name} ({str(error).strip()}).",
            code="image-broken",
        ) from error


def _identify(file: IO[bytes]) -> Image.Image:
    """Return a picture by its header; Pillow learns HEIC from pillow-heif at the first such file.

    Raises:
        UnidentifiedImageError: it is none, or pillow-heif is missing.
    """
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        if _brand(file.read(12)) not in _HEIC_BRANDS or not _register_heic():
            raise
        file.seek(0)
        return Image.open(file)


def _register_heic() -> bool:
    """Teach Pillow HEIC; return whether pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _brand(start: bytes) -> bytes | None:
    """Return the kind of an ISO media file, such as b"heic", from its first 12 bytes."""
    return start[8:] if start[4:8] == b"ftyp" else None


def _unidentified(start: bytes, name: str) -> ImageError:
    brand = _brand(start)
    if brand in _HEIC_BRANDS and not _register_heic():
        return ImageError(
            f"Expected a picture that can be read here, got HEIC, which needs pillow-heif: "
            f"{name}; install it with: {install.extra('heif')}, or save the picture as JPEG.",
            code="image-heic",
        )
    if brand in _AVIF_BRANDS and "AVIF" not in Image.OPEN:
        return ImageError(
            f"Expected a picture that can be read here, got AVIF, which needs Pillow 11.3 or "
            f"later: {name}; save the picture as JPEG.",
            code="image-avif",
        )
    kind = "another kind of file" if start else "an empty file"
    if brand in _HEIC_BRANDS + _AVIF_BRANDS:
        kind = "a broken HEIC or AVIF file"
    return ImageError(
        f"Expected a picture (PNG, JPEG, …), got {kind}: {name}.", code="image-format"
    )


def _decode(image: Image.Image, name: str, target_side: int | None) -> tuple[Image.Image, int]:
    _check_decodable(image, name)
    longer = max(image.size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Broken EXIF data: such a picture is not turned.
            if target_side is not None:
                # A JPEG can be decoded at a half, a quarter or an eighth of its size, which is
                # faster.
                image.draft(None, (target_side, target_side))
            image.load()
            # Without this question Pillow would copy every picture.
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            return ImageOps.exif_transpose(image) if turned else image, longer
    except _DECODE_ERRORS as error:
        raise ImageError(
            f"Expected a whole picture, got a truncated or broken one: {name} "
            f"({str(error).strip()}).",
            code="image-broken",
        ) from error


def _check_decodable(image: Image.Image, name: str) -> None:
    size = f"{image.width}×{image.height}"
    max_pixels = _MAX_PIXELS_BY_FORMAT.get(image.format or "", MAX_PIXELS)
    if image.width * image.height > max_pixels:
        raise _too_large(name, size, max_pixels)
    if max(image.size) < _MIN_SIDE or min(image.size) < 1:
        raise ImageError(
            f"Expected a picture of {_MIN_SIDE} pixels or more a side, got {name} ({size}); "
            f"a digit needs more pixels.",
            code="image-too-small",
        )
    if image.format in _EXTERNAL_FORMATS:
        raise ImageError(
            f"Expected a picture of pixels, got a drawing ({image.format}) in {name}, which "
            f"another program would have to draw; save it as PNG first.",
            code="image-vector",
        )


def _too_large(name: str, size: str, max_pixels: int = MAX_PIXELS) -> ImageError:
    return ImageError(
        f"Expected a picture of at most {max_pixels // 10**6} megapixels, got {name} ({size}); "
        f"make it smaller first.",
        code="image-too-large",
    )


def _from_array(array: NDArray[Any]) -> Image.Image:
    """Return an array as an L, RGB or RGBA picture, its range scaled to [0, 255]."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if not (array.ndim == 2 or colour) or 0 in array.shape or array.dtype.kind not in "buif":
        raise ImageError(
            f"Expected an image of shape (h, w), (h, w, 3) or (h, w, 4), "
            f"got {array.shape} {array.dtype}; for many MNIST images use predict_batch.",
            code="image-shape",
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise _too_large("an array", "×".join(map(str, array.shape)))
    with np.errstate(invalid="ignore"):  # A signalling NaN; it is refused below.
        values = array.astype(np.float64)
    # Integers wider than 16 bits hold 8-bit pixels that some calculation has widened.
    top = 1.0 if array.dtype.kind in "bf" else 65535.0 if array.dtype == np.uint16 else 255.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise ImageError(
            f"Expected {array.dtype} pixels in [0, {top:g}], "
            f"got {values.min():g} to {values.max():g}; scale them first.",
            code="image-range",
        )
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def _stretch_to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a 16-bit or float picture as 8 bits, its own range stretched to [0, 255]."""
    with np.errstate(invalid="ignore"):  # A signalling NaN.
        values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    return Image.fromarray(np.rint((values - low) * (255 / max(high - low, 1))).astype(np.uint8))


def _flatten(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on the background with more contrast: black if it is light."""
    alpha = np.asarray(image.getchannel("A"), np.float32)
    grey = np.asarray(image.convert("RGB").convert("L"), np.float32)
    opacity = float(alpha.sum())
    light = alpha.min() < 255 and float((grey * alpha).sum()) > 127 * opacity > 0
    background = Image.new("RGBA", image.size, "black" if light else "white")
    return Image.alpha_composite(background, image)
