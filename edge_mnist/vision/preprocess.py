"""Turn a picture of any kind into the uint8 image that a model reads.

A model of grey digits gets the digit as MNIST holds it: white on black, scaled into a 20×20 box
with anti-aliasing, placed in 28×28 by its centre of mass (LeCun et al.,
http://yann.lecun.com/exdb/mnist/). If the model has another size, that image is fitted to it.
A model of colour pictures, or with labels other than the digits, gets the whole picture resized.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeGuard, cast

import numpy as np
from PIL import Image

from .cascade import locate_digit
from .decode import Page, Picture, open_page, open_picture, to_eight_bits
from .normalization import MNIST_SIDE, normalize

if TYPE_CHECKING:
    from ..bundle.model_spec import ModelSpec
    from .arrays import Grey
    from .localization import Candidate

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
    return extract_digit(picture, spec).image


class Extract(NamedTuple):
    """A model's input, and where in the picture it comes from.

    Attributes:
        image: as `preprocess` returns it.
        box: left, top, right, bottom in pixels of the upright picture; None for the whole picture.
        has_neighbours: whether the picture seems to hold more digits.
    """

    image: Grey
    box: tuple[int, int, int, int] | None = None
    has_neighbours: bool = False


def extract_digit(
    picture: Picture,
    spec: ModelSpec | None = None,
    confidence: Callable[[Grey], float] | None = None,
) -> Extract:
    """Return what `preprocess` does, and where it is.

    Args:
        picture: as for `preprocess`.
        spec: as for `preprocess`.
        confidence: the model's confidence in an image, in [0, 1]. With it a simple picture is read
            without a search; without it all are searched.
    """
    if spec is not None and not spec.digits:
        image = to_eight_bits(open_picture(picture)).convert("L" if spec.channels == 1 else "RGB")
        return Extract(_resize(image, spec.height, spec.width))
    page = None if _is_mnist_array(picture) else open_page(picture)
    mnist = cast("Grey", picture) if page is None else _as_mnist(page)
    if mnist is not None:
        return Extract(mnist if spec is None else fit(mnist[np.newaxis], spec)[0])

    @cache
    def image_of(candidate: Candidate) -> Grey:
        image = normalize(candidate.foreground)
        return image if spec is None else fit(image[np.newaxis], spec)[0]

    rate = None if confidence is None else lambda candidate: confidence(image_of(candidate))
    located = locate_digit(cast(Page, page), rate)
    return Extract(image_of(located.candidate), located.box, located.candidate.has_neighbours)


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


def _as_mnist(page: Page) -> Grey | None:
    """Return a picture that is an MNIST image already; fitting it again would only blur it."""
    if page.small.size != (MNIST_SIDE, MNIST_SIDE):
        return None
    grey = _light_on_dark(np.asarray(page.small.convert("L")))
    return grey if grey is not None and _has_mnist_layout(grey) else None


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
