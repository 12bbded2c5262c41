"""Turn a picture of any kind into the uint8 image that a model reads.

A model of grey digits gets the digit as MNIST holds it: white on black, scaled into a 20×20 box
with anti-aliasing, placed in 28×28 by its centre of mass (LeCun et al.,
http://yann.lecun.com/exdb/mnist/). If the model has another size, that image is fitted to it.
A model of colour pictures, or with labels other than the digits, gets the whole picture resized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from PIL import Image

from .decode import Picture, open_page, open_picture, to_eight_bits
from .localization import locate_digit
from .normalization import MNIST_SIDE, normalize

if TYPE_CHECKING:
    from ..bundle.model_spec import ModelSpec
    from .arrays import Grey

# A 28×28 picture counts as an MNIST image within these bounds. Pixels: the longer side of the
# digit; the distance of its centre of mass from the middle, along either axis.
_DIGIT_SIDES, _MAX_OFFSET = (16, 22), 2.5
# Shares of 255: brighter pixels belong to the digit; the border may vary by this much (JPEG noise).
_FOREGROUND_LEVEL, _MAX_BORDER_RANGE = 0.2, 0.1


def preprocess(picture: Picture, spec: ModelSpec | None = None) -> Grey:
    """Return a picture as a model takes it.

    Args:
        picture: a path, an encoded picture's bytes, a PIL image, or an array (h, w), (h, w, 1),
            (h, w, 3) or (h, w, 4): integer over its dtype's range, bool, or float in [0, 1].
            A (28, 28) uint8 array is taken as an MNIST image and returned as it is.
        spec: the model's input and labels; None for an MNIST image.

    Returns:
        uint8 of `spec.shape`; (28, 28), white on black, without a spec.

    Raises:
        ImageError: the picture cannot be read, or is too large.
        NoDigitError: the model reads digits, and the picture holds none.
    """
    return extract_digit(picture, spec)[0]


def extract_digit(picture: Picture, spec: ModelSpec | None = None) -> tuple[Grey, bool]:
    """Return what `preprocess` does, and whether the picture seems to hold more digits."""
    if spec is not None and not spec.digits:
        image = to_eight_bits(open_picture(picture)).convert("L" if spec.channels == 1 else "RGB")
        return _resize(image, spec.height, spec.width), False
    mnist, more = (picture, False) if _is_mnist_array(picture) else _extract_digit(picture)
    return mnist if spec is None else fit(mnist[np.newaxis], spec)[0], more


def fit(images: Grey, spec: ModelSpec) -> Grey:
    """Return MNIST images in a model's size and number of channels.

    Args:
        images: (n, 28, 28) uint8.
        spec: the model's input.

    Returns:
        uint8 (n, *spec.shape): 32×32 by a border of two black pixels as in LeNet-5, any other
        size by bilinear resizing; grey is repeated for each channel.
    """
    height, width = spec.height, spec.width
    if (height, width) == (32, 32):
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    elif (height, width) != (MNIST_SIDE, MNIST_SIDE):
        resized = [_resize(Image.fromarray(image), height, width) for image in images]
        images = np.array(resized, np.uint8).reshape(len(images), height, width)
    if spec.channels == 1:
        return images
    return np.repeat(images[..., np.newaxis], spec.channels, axis=-1)


def _resize(image: Image.Image, height: int, width: int) -> Grey:
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _is_mnist_array(picture: Picture) -> TypeGuard[Grey]:
    if not isinstance(picture, np.ndarray):
        return False
    return picture.shape == (MNIST_SIDE, MNIST_SIDE) and picture.dtype == np.uint8


def _extract_digit(picture: Picture) -> tuple[Grey, bool]:
    """Return the digit of a picture as an MNIST image, (28, 28), and whether there are more."""
    image = open_page(picture).image
    if image.size == (MNIST_SIDE, MNIST_SIDE):
        grey = _light_on_dark(np.asarray(image.convert("L")))
        if grey is not None and _has_mnist_layout(grey):
            return grey, False  # Fitting it again would only blur it.
    digit = locate_digit(image)
    return normalize(digit.foreground), digit.has_neighbours


def _light_on_dark(grey: Grey) -> Grey | None:
    """Return a picture with a black background, inverted if need be; None if it has no even one."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]).astype(np.int16)
    if np.ptp(border) > _MAX_BORDER_RANGE * 255:
        return None
    return grey if np.median(border) < 128 else 255 - grey


def _has_mnist_layout(grey: Grey) -> bool:
    """Whether a digit has MNIST's size and place in a (28, 28) picture, light on dark."""
    rows, columns = np.nonzero(grey > _FOREGROUND_LEVEL * 255)
    if not len(rows) or grey.max() < 128:
        return False
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    mass, middle = grey.astype(np.float64), MNIST_SIDE / 2
    offsets = [
        abs((mass.sum(axis=axis) @ np.arange(MNIST_SIDE)) / mass.sum() - middle) for axis in (0, 1)
    ]
    return bool(_DIGIT_SIDES[0] <= longer <= _DIGIT_SIDES[1] and max(offsets) < _MAX_OFFSET)
