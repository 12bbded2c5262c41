"""Training settings in, an optimizer and a learning-rate schedule out."""

from __future__ import annotations

import math
from typing import Any

import keras

from ..runs import Recipe


def build(name: str, learning_rate: Any, weight_decay: float) -> Any:
    """Return the optimizer "adam" or "muon" (Jordan et al. 2024).

    The learning rate is a number or a Keras schedule. The weight decay is decoupled (Loshchilov
    and Hutter 2019).
    """
    decay = weight_decay or None
    if name == "adam":
        return keras.optimizers.Adam(learning_rate, weight_decay=decay)
    return Muon(learning_rate, weight_decay=decay, adam_weight_decay=decay)


def learning_rate(recipe: Recipe, steps_per_epoch: int) -> Any:
    """Return the learning rate per step: linear warm-up, then cosine decay to 0."""
    warm_up_steps = min(recipe.warm_up_epochs, recipe.epochs - 1) * steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / (20 if warm_up_steps else 1),
        recipe.epochs * steps_per_epoch - warm_up_steps,
        warmup_target=recipe.learning_rate if warm_up_steps else None,
        warmup_steps=warm_up_steps,
    )


@keras.saving.register_keras_serializable("edge_mnist")
class Muon(keras.optimizers.Muon):  # type: ignore[misc]
    """Muon that also updates convolution kernels, which Keras's own leaves to Adam.

    A kernel (height, width, channels, filters) is updated as a matrix with one column per filter.
    Adam updates every other variable. Checkpoints name this class: it must not be renamed.
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Return the orthogonal matrix nearest to a kernel's matrix, in the kernel's shape."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale an update by its matrix's longer side, to Adam's magnitude (Liu et al. 2025)."""
        return x * max(math.prod(x.shape[:-1]), x.shape[-1]) ** 0.5 * self.rms_rate
