"""Any picture -> (28, 28) uint8, the way MNIST was made.

MNIST's digits were scaled into a 20×20 box with anti-aliasing and placed in 28×28 by their
centre of mass, white ink on black (LeCun et al., http://yann.lecun.com/exdb/mnist/). A
picture goes the same way: grey, ink against background, crop, fit, centre.

A model that reads grey digits of another size gets that image fitted: 32×32 by a border of two
pixels, as in LeNet-5, any other size by bilinear resizing. A model of colour, or with other
labels than the digits, gets the whole picture resized, its colours as they are.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeGuard

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .contract import Contract

    Picture = str | PathLike[str] | bytes | Image.Image | NDArray[np.generic]

SIZE = 28
BOX = 20
# A 48-megapixel phone camera is the largest honest source; a picture's size is read from its
# header, so a larger one is refused before any of it is decoded.
MAX_PIXELS = 50_000_000
# Pillow hands these to Ghostscript, or to Windows.
_PROGRAMS = ("EPS", "WMF")
# Enough to keep a thin pen line when a page is reduced, small enough for a Pi.
_WORKING_SIZE = 512
# Darkest and lightest must differ by this much of the range before there is ink at all:
# pencil on paper differs by 0.2 and more, sensor noise and JPEG blocks by less than 0.1.
_LEAST_CONTRAST = 0.1
# Seven rows of dots are what the coarsest displays write a digit in.
_LEAST_SIDE = 7
# What Pillow raises for broken files, by format: OSError (most), SyntaxError (PNG),
# ValueError and struct.error (TIFF, ICO), EOFError (GIF), zlib.error (PNG).
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def preprocess(picture: Picture, contract: Contract | None = None) -> NDArray[np.uint8]:
    """Return a picture as a model takes it, MNIST's way or resized whole: see above.

    Args:
        picture: a path, an encoded picture's bytes, a PIL image, or an array (h, w),
            (h, w, 3) or (h, w, 4): integer over its dtype's range, bool, or float in [0, 1].
        contract: what the model takes; None for an MNIST image: (28, 28), white on black.

    Returns:
        uint8 of `contract.shape`.

    Raises:
        ImageError: it cannot be read, is too large, or holds no digit where one is wanted.
    """
    if contract is None or contract.digits:
        # An MNIST image stands as it is, also for a model of another size.
        mnist = picture if _is_mnist(picture) else _digit(picture)
        return mnist if contract is None else fit(mnist[np.newaxis], contract)[0]
    return _whole(open_picture(picture), contract)


def fit(images: NDArray[np.uint8], contract: Contract) -> NDArray[np.uint8]:
    """Return MNIST images (n, 28, 28) in a model's size and channels: (n, *contract.shape).

    32×32 by a border of two black pixels, another size bilinearly; grey three times for colour.
    """
    height, width = contract.height, contract.width
    if (height, width) == (32, 32):
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    elif (height, width) != (SIZE, SIZE):
        resized = [_resize(Image.fromarray(image), height, width) for image in images]
        images = np.array(resized, np.uint8).reshape(len(images), height, width)
    if contract.channels == 1:
        return images
    return np.repeat(images[..., np.newaxis], contract.channels, axis=-1)


def _is_mnist(picture: Picture) -> TypeGuard[NDArray[np.uint8]]:
    if not isinstance(picture, np.ndarray):
        return False
    return picture.shape == (SIZE, SIZE) and picture.dtype == np.uint8


def _resize(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _whole(image: Image.Image, contract: Contract) -> NDArray[np.uint8]:
    image = _eight_bits(image).convert("L" if contract.channels == 1 else "RGB")
    return _resize(image, contract.height, contract.width)


def _digit(picture: Picture) -> NDArray[np.uint8]:
    """Return the digit in a picture as MNIST would hold it: (28, 28) uint8, white on black."""
    grey = _grey(open_picture(picture))
    contrast = float(grey.max() - grey.min())
    if contrast < _LEAST_CONTRAST:
        raise ImageError(
            f"Expected a digit, got a blank picture (contrast {contrast:.2f} of 1); "
            f"write darker, or come closer."
        )
    if grey.shape == (SIZE, SIZE) and np.ptp(_border(grey)) == 0:
        # On an even ground of MNIST's own size it is as MNIST has it, perhaps in negative;
        # fitting it again would only blur it.
        as_mnist = grey if _border(grey)[0] < 0.5 else 1 - grey
        return np.rint(as_mnist * 255).astype(np.uint8)
    return _centre(_fit(_crop(_ink(grey))))


def open_picture(picture: Picture) -> Image.Image:
    """Return a picture of any kind as a decoded PIL image, turned as its EXIF data says."""
    if isinstance(picture, np.ndarray):
        return _decode(_from_array(picture), "the array")
    if isinstance(picture, Image.Image):
        return _decode(picture, "the picture")
    if isinstance(picture, bytes | bytearray | memoryview):
        content = bytes(picture)
        return _read(io.BytesIO(content), f"{len(content)} bytes")
    if isinstance(picture, str | PathLike):
        return _read_path(Path(picture))
    raise ImageError(
        f"Expected a path, bytes, a PIL image or an array, got {type(picture).__name__}."
    )


def _read_path(path: Path) -> Image.Image:
    try:
        with path.open("rb") as file:
            return _read(file, str(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"Expected a picture at {path}, got: {reason}.") from error


def _read(file: IO[bytes], name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures and refuses huge ones; the limit here is lower.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file)
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
    return _decode(image, name)


def _too_large(name: str, size: str) -> str:
    return (
        f"Expected a picture of at most {MAX_PIXELS // 10**6} megapixels, got {name} ({size}); "
        f"make it smaller first."
    )


def _decode(image: Image.Image, name: str) -> Image.Image:
    size = f"{image.width}×{image.height}"
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(_too_large(name, size))
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
    try:
        image.load()
        return ImageOps.exif_transpose(image)
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


def _grey(image: Image.Image) -> NDArray[np.float32]:
    """Return the luminance (h, w) in [0, 1], at most 512 pixels a side."""
    image = _eight_bits(_lessened(image)).convert("L")
    image.thumbnail((_WORKING_SIZE, _WORKING_SIZE), Image.Resampling.BOX)
    return np.asarray(image, np.float32) / np.float32(255)


def _lessened(image: Image.Image) -> Image.Image:
    """Return a large picture of deep or transparent pixels smaller, still above the working size.

    What comes next copies it several times, wide: of 50 megapixels that took over 1 GB.
    """
    factor = min(image.size) // (2 * _WORKING_SIZE)
    if factor < 2 or image.mode in ("1", "L", "RGB"):
        return image
    if image.mode.startswith("I;"):
        image = image.convert("I")
    if image.mode not in ("I", "F"):
        image = image.convert("RGBA")
    return image.reduce(factor)


def _eight_bits(image: Image.Image) -> Image.Image:
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
    rgba = np.asarray(image)
    opaque = rgba[rgba[..., 3] > 127]
    light = opaque.size and opaque[:, :3].mean() > 127 and len(opaque) < rgba[..., 3].size
    background = Image.new("RGBA", image.size, "black" if light else "white")
    return Image.alpha_composite(background, image)


def _ink(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ink (h, w) in [0, 1], 0 where there is only background.

    The background is what the border shows; the ink is what lies farther from it, darker or
    lighter. What is nearer to the background than to the ink's middle is noise.
    """
    background = float(np.median(_border(grey)))
    darker, lighter = background - float(grey.min()), float(grey.max()) - background
    ink = np.clip(background - grey if darker > lighter else grey - background, 0, None)
    ink[ink < _otsu(ink) / 2] = 0
    # The strongest hundredth of the ink is full ink; a single hot pixel is not.
    strong = np.float32(np.quantile(ink[ink > 0], 0.99))
    full: NDArray[np.float32] = np.clip(ink / strong, 0, 1)
    return full


def _border(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the pixels within 1/28 of the edge: (n,)."""
    inner = np.zeros(pixels.shape, bool)
    margin = max(1, min(pixels.shape) // SIZE)
    inner[margin:-margin, margin:-margin] = True
    return pixels[~inner]


def _otsu(values: NDArray[np.float32]) -> float:
    """Return the threshold that best splits values in two (Otsu 1979: between-class variance)."""
    counts, edges = np.histogram(values, bins=64)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centres)
    means_below = sums[:-1] / np.maximum(below, 1)
    means_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    variance = below * above * (means_below - means_above) ** 2
    return float(edges[1:-1][variance.argmax()])


def _crop(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.flatnonzero(ink.any(axis=1))
    columns = np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _fit(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale so that the longer side is 20 pixels, and back to full ink."""
    height, width = ink.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    fitted = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BILINEAR))
    # A line thinner than a pixel comes out grey; MNIST's strokes are white at the core.
    return np.clip(fitted / max(float(np.quantile(fitted, 0.95)), 0.1), 0, 1)


def _centre(ink: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Place (h, w) ink, h and w at most 20, with its centre of mass in the middle of 28×28."""
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    mass = max(float(ink.sum()), 1e-6)
    offsets = []  # Pixel 14, counted from 0, is where the centres of mass of MNIST lie.
    for axis, length in enumerate(ink.shape):
        centre = float(ink.sum(axis=1 - axis) @ np.arange(length)) / mass
        offsets.append(int(np.clip(round(SIZE / 2 - centre), 0, SIZE - length)))
    top, left = offsets
    height, width = ink.shape
    canvas[top : top + height, left : left + width] = np.rint(ink * 255).astype(np.uint8)
    return canvas
