"""Any picture -> (28, 28) uint8, the way MNIST was made.

MNIST's digits were scaled into a 20×20 box with anti-aliasing and placed in 28×28 by their
centre of mass, white ink on black (LeCun et al., http://yann.lecun.com/exdb/mnist/). A
picture goes the same way: grey, ink against background, crop, fit, centre.

A model that reads grey digits of another size gets that image fitted: 32×32 by a border of two
pixels, as in LeNet-5, any other size by bilinear resizing. A model of colour, or with other
labels than the digits, gets the whole picture resized, its colours as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from PIL import Image

from . import localization, normalization
from .decode import eight_bits, open_page, open_picture
from .normalization import SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..bundle.model_spec import ModelSpec
    from .decode import Page, Picture

# What an MNIST image has: its ink this long, and its centre of mass so near the middle.
_LONG, _OFF = (16, 22), 2.5
# From here on a pixel is ink; below it may be noise of a JPEG.
_INKED, _EVEN = 0.2, 0.1


def preprocess(picture: Picture, spec: ModelSpec | None = None) -> NDArray[np.uint8]:
    """Return a picture as a model takes it, MNIST's way or resized whole: see above.

    Args:
        picture: a path, an encoded picture's bytes, a PIL image, or an array (h, w),
            (h, w, 3) or (h, w, 4): integer over its dtype's range, bool, or float in [0, 1].
        spec: what the model takes; None for an MNIST image: (28, 28), white on black.

    Returns:
        uint8 of `spec.shape`.

    Raises:
        ImageError: it cannot be read, or is too large.
        NoDigitError: it holds no digit where one is wanted.
    """
    if spec is None or spec.digits:
        # An MNIST image stands as it is, also for a model of another size.
        mnist = picture if _is_mnist(picture) else _digit(picture)
        return mnist if spec is None else fit(mnist[np.newaxis], spec)[0]
    return _whole(open_picture(picture), spec)


def fit(images: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8]:
    """Return MNIST images (n, 28, 28) in a model's size and channels: (n, *spec.shape).

    32×32 by a border of two black pixels, another size bilinearly; grey three times for colour.
    """
    height, width = spec.height, spec.width
    if (height, width) == (32, 32):
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    elif (height, width) != (SIZE, SIZE):
        resized = [_resize(Image.fromarray(image), height, width) for image in images]
        images = np.array(resized, np.uint8).reshape(len(images), height, width)
    if spec.channels == 1:
        return images
    return np.repeat(images[..., np.newaxis], spec.channels, axis=-1)


def _is_mnist(picture: Picture) -> TypeGuard[NDArray[np.uint8]]:
    if not isinstance(picture, np.ndarray):
        return False
    return picture.shape == (SIZE, SIZE) and picture.dtype == np.uint8


def _resize(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _whole(image: Image.Image, spec: ModelSpec) -> NDArray[np.uint8]:
    image = eight_bits(image).convert("L" if spec.channels == 1 else "RGB")
    return _resize(image, spec.height, spec.width)


def _digit(picture: Picture) -> NDArray[np.uint8]:
    """Return the digit in a picture as MNIST would hold it: (28, 28) uint8, white on black."""
    page = open_page(picture)
    as_mnist = _as_mnist(page)
    return (
        normalization.render(localization.digit(page.image).ink) if as_mnist is None else as_mnist
    )


def _as_mnist(page: Page) -> NDArray[np.uint8] | None:
    """Return a 28×28 picture that is as MNIST has it, perhaps in negative; None for any other.

    Fitting it again would only blur it.
    """
    if page.image.size != (SIZE, SIZE):
        return None
    grey = np.asarray(page.image.convert("L"))
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]).astype(np.int16)
    if np.ptp(edge) > _EVEN * 255:
        return None
    grey = grey if np.median(edge) < 128 else 255 - grey
    rows, columns = np.nonzero(grey > _INKED * 255)
    if not len(rows) or grey.max() < 128:
        return None
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    mass = grey.astype(np.float64)
    off = [(mass.sum(axis=axis) @ np.arange(SIZE)) / mass.sum() - SIZE / 2 for axis in (0, 1)]
    return grey if _LONG[0] <= longer <= _LONG[1] and max(map(abs, off)) < _OFF else None
