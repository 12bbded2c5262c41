"""Pixels as a model takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def as_input(images: NDArray[np.uint8], low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
    """Return (n, h, w) or (n, h, w, c) uint8 as (n, h, w, c) float32, 0 as low and 255 as high.

    By a table, as the device does it, so that both hand the same floats to a model.
    """
    table = (low + (high - low) * np.arange(256) / 255).astype(np.float32)
    values = table[images]
    return values[..., np.newaxis] if values.ndim == 3 else values
