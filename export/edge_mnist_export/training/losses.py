"""Targets and predicted probabilities in, the loss and the accuracy out.

Checkpoints name these classes by their registered names, so those names must not change.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# Keras's loss for each form of labels.
CROSS_ENTROPY = {"sparse": "sparse_categorical_crossentropy", "one-hot": "categorical_crossentropy"}


@keras.saving.register_keras_serializable("edge_mnist", name="_Softened")
class SoftenedCrossEntropy(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of two distributions, both softened: p^(1 / temperature), normalized."""

    def __init__(self, temperature: float, **options: Any) -> None:
        super().__init__(**options)
        self.temperature = temperature

    def call(self, targets: Any, probabilities: Any) -> Any:
        """Return the loss of each image, (n,), from targets and probabilities (n, 10)."""
        # 1e-12 keeps the logarithm finite.
        target_logits, logits = (
            ops.log(ops.maximum(values, 1e-12)) / self.temperature
            for values in (targets, probabilities)
        )
        return ops.categorical_crossentropy(ops.softmax(target_logits), logits, from_logits=True)

    def get_config(self) -> dict[str, Any]:
        """Return what Keras saves in a checkpoint."""
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("edge_mnist")  # type: ignore[untyped-decorator]
def accuracy(targets: Any, probabilities: Any) -> Any:
    """Return 1 for each correct prediction, else 0: (n,) float32.

    Targets (n, 10) that are below 0.5 for every digit mark a non-digit. Its prediction (n, 10) is
    correct if it is at most 0.5 for every digit too.
    """
    same_digit = ops.equal(ops.argmax(targets, axis=-1), ops.argmax(probabilities, axis=-1))
    unsure = ops.max(probabilities, axis=-1) <= 0.5
    is_non_digit = ops.max(targets, axis=-1) < 0.5
    return ops.cast(ops.where(is_non_digit, unsure, same_digit), "float32")
