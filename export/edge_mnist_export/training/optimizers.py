"""What steps the weights: Adam, or for convolutions Muon (Jordan et al. 2024)."""

from __future__ import annotations

import math
from typing import Any

import keras


def build(name: str, learning_rate: Any, weight_decay: float) -> Any:
    """Return the optimizer `name`; the decay is decoupled (Loshchilov and Hutter 2019)."""
    decay = weight_decay or None
    if name == "adam":
        return keras.optimizers.Adam(learning_rate, weight_decay=decay)
    return Muon(learning_rate, weight_decay=decay, adam_weight_decay=decay)


@keras.saving.register_keras_serializable("edge_mnist")
class Muon(keras.optimizers.Muon):  # type: ignore[misc]
    """Keras's Muon, which would leave convolutions to Adam, with their kernels as matrices.

    A kernel (height, width, channels, filters) is stepped as a matrix with a column for each
    filter; what is no kernel, by Adam.
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Return the nearest orthogonal matrix to a kernel's, as a kernel."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale a step by its matrix's longer side, to entries of Adam's size (Liu et al. 2025)."""
        return x * max(math.prod(x.shape[:-1]), x.shape[-1]) ** 0.5 * self.rms_rate
