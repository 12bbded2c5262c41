"""Pixels in, float32 model input out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import Scaling


def as_input(images: NDArray[np.uint8], scaling: Scaling | None = None) -> NDArray[np.float32]:
    """Return images as a model takes them.

    A table of 256 values gives the same floats as on the device, which uses one too.

    Args:
        images: (n, h, w) or (n, h, w, c) uint8.
        scaling: maps a pixel to a float; None for [0, 255] to [0, 1].

    Returns:
        (n, h, w, c) float32; one channel for images of three axes.
    """
    scaling = scaling or Scaling()
    table = np.array([scaling.value(pixel) for pixel in range(256)], np.float32)
    values: NDArray[np.float32] = table[images]
    return values[..., np.newaxis] if values.ndim == 3 else values
