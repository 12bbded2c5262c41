"""Several images in, one checked array out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REMEDY = "use edge_mnist.preprocess.preprocess on each picture first."


def check_images(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Return images as one array (n, *shape), without a last axis of one channel.

    Raises:
        ImageError: another shape or dtype.
    """
    expected = f"(n, {', '.join(map(str, shape))})"
    try:
        images = np.asarray(images)
    except ValueError as error:
        raise ImageError(
            f"Expected images of one size, {expected}, got several; {_REMEDY}", code="image-shape"
        ) from error
    if images.shape[1:] == (*shape, 1):
        images = images[..., 0]
    if images.ndim < 3 or images.shape[1:] != shape or images.dtype != np.uint8:
        raise ImageError(
            f"Expected images of shape {expected} and dtype uint8, got {images.shape} "
            f"{images.dtype}; {_REMEDY}",
            code="image-shape",
        )
    return images
