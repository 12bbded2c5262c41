"""Pixels as a model takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import Scaling


def as_input(images: NDArray[np.uint8], scaling: Scaling | None = None) -> NDArray[np.float32]:
    """Return (n, h, w) or (n, h, w, c) uint8 as (n, h, w, c) float32, by default in [0, 1].

    By a table, as the device does it, so that both hand the same floats to a model.
    """
    scaling = scaling or Scaling()
    table = np.array([scaling.value(pixel) for pixel in range(256)], np.float32)
    values: NDArray[np.float32] = table[images]
    return values[..., np.newaxis] if values.ndim == 3 else values
