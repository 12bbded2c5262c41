"""On TensorFlow, an epoch as a compiled loop: Keras would step through it in Python.

The images cross to the device once an epoch, as bytes; a loop on the device takes the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Measure = Callable[[Any, Any], Any]

# Ctrl-C waits for a call to end. An epoch is one call on a GPU; on a CPU, so many steps are.
_STEPS_ON_CPU = 16


class Epochs:
    """Trains a compiled Keras model as `model.fit` does, without shuffling.

    Args:
        model: takes floats in [0, 1].
        accuracy: what is right of (targets, probabilities): (n,) of 0 and 1.
        batch_size: images a step; the last one of an epoch takes what is left.
    """

    def __init__(self, model: Any, accuracy: Measure, batch_size: int) -> None:
        self._model, self._accuracy, self._batch_size = model, accuracy, batch_size
        model.optimizer.build(model.trainable_variables)
        self._call = tf.function(self._steps)
        self._stride = None if tf.config.list_physical_devices("GPU") else _STEPS_ON_CPU

    def fit(self, images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        """Train on images (n, h, w) uint8 in their order; return mean loss and accuracy."""
        steps = -(-len(images) // self._batch_size)
        data = tf.constant(images), tf.constant(targets)
        totals = np.zeros(2)
        stride = self._stride or steps
        for first in range(0, steps, stride):
            end = min(first + stride, steps)
            totals += self._call(*data, tf.constant(first), tf.constant(end)).numpy()
        loss, accuracy = totals / len(images)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def _steps(self, images: Any, targets: Any, first: Any, end: Any) -> Any:
        """Take the steps from `first` up to `end`; return their sums of loss and accuracy."""
        sums = tf.zeros(2)
        for step in tf.range(first, end):
            at = step * self._batch_size
            batch = slice(at, at + self._batch_size)
            sums += self._step(images[batch], targets[batch])
        return sums

    def _step(self, images: Any, targets: Any) -> Any:
        pixels = tf.cast(images, tf.float32)[..., tf.newaxis] / 255
        with tf.GradientTape() as tape:
            answers = self._model(pixels, training=True)
            loss = self._model.compute_loss(pixels, targets, answers)
        variables = self._model.trainable_variables
        self._model.optimizer.apply(tape.gradient(loss, variables), variables)
        right = tf.reduce_sum(tf.cast(self._accuracy(targets, answers), tf.float32))
        return tf.stack([loss * tf.cast(tf.shape(images)[0], tf.float32), right])
