"""A compiled Keras model and an epoch's images in, the model trained on them by TensorFlow out.

Keras runs a Python loop over the steps. Here a compiled loop runs them on the device, to which the
images are copied once per epoch, as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Steps per compiled call on a CPU. Ctrl-C waits for a call to end. A GPU is fast enough for one
# call per epoch.
_CPU_STEPS = 16


class Epochs:
    """Trains a model as Keras's `fit` does without shuffling; see `epochs.fit_function`."""

    def __init__(
        self,
        model: Any,
        accuracy: Callable[[Any, Any], Any],
        batch_size: int,
        show: Callable[[float], None] = lambda fraction: None,
    ) -> None:
        self._model, self._accuracy, self._batch_size = model, accuracy, batch_size
        self._show = show
        model.optimizer.build(model.trainable_variables)
        # AutoGraph would write Python files into the folder for temporary files.
        self._run_steps = tf.function(self._steps, autograph=False)
        self._steps_per_call = None if tf.config.list_physical_devices("GPU") else _CPU_STEPS

    def fit(self, images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        """Train for one epoch; return the mean loss and accuracy."""
        steps = -(-len(images) // self._batch_size)
        data = tf.constant(images), tf.constant(targets)
        totals = np.zeros(2)
        stride = self._steps_per_call or steps
        for start in range(0, steps, stride):
            end = min(start + stride, steps)
            totals += self._run_steps(*data, tf.constant(start), tf.constant(end)).numpy()
            self._show(end / steps)
        loss, accuracy = totals / len(images)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def _steps(self, images: Any, targets: Any, start: Any, end: Any) -> Any:
        """Run the steps from `start` up to `end`; return the sums of loss and accuracy."""

        def run(step: Any, sums: Any) -> tuple[Any, Any]:
            first = step * self._batch_size
            batch = slice(first, first + self._batch_size)
            return step + 1, sums + self._step(images[batch], targets[batch])

        return tf.while_loop(lambda step, sums: step < end, run, (start, tf.zeros(2)))[1]

    def _step(self, images: Any, targets: Any) -> Any:
        inputs = tf.cast(images, tf.float32) / 255
        if images.shape.rank == 3:
            inputs = inputs[..., tf.newaxis]
        with tf.GradientTape() as tape:
            outputs = self._model(inputs, training=True)
            loss = self._model.compute_loss(inputs, targets, outputs)
        variables = self._model.trainable_variables
        self._model.optimizer.apply(tape.gradient(loss, variables), variables)
        correct = tf.reduce_sum(tf.cast(self._accuracy(targets, outputs), tf.float32))
        return tf.stack([loss * tf.cast(tf.shape(images)[0], tf.float32), correct])
