"""A compiled Keras model and an epoch's images in, the model trained on TensorFlow's devices out.

`tf.distribute.MirroredStrategy` keeps a copy of the model on each device, and sums the gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from . import devices as all_devices
from .devices import Devices
from .epochs_tensorflow import Epochs


class MirroredEpochs(Epochs):
    """Trains a model as `epochs_tensorflow.Epochs` does, on several devices of this process."""

    def __init__(
        self,
        model: Any,
        accuracy: Callable[[Any, Any], Any],
        batch_size: int,
        show: Callable[[float], None],
        devices: Devices,
    ) -> None:
        self._original, self._count = model, devices.count
        model.optimizer.build(model.trainable_variables)
        self._strategy = _strategy(tuple(all_devices.tensorflow_names(devices)))
        with self._strategy.scope():
            super().__init__(_mirror(model), accuracy, batch_size, show)

    def fit(self, images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        """Train for one epoch; return the mean loss and accuracy."""
        _copy(self._original, self._model)
        row = super().fit(images, targets)
        _copy(self._model, self._original)
        return row

    def _step(self, images: Any, targets: Any) -> Any:
        means = self._strategy.run(self._replica_step, args=(images, targets))
        rows = tf.cast(tf.shape(images)[0], tf.float32)
        return self._strategy.reduce("SUM", means, axis=None) * rows

    def _replica_step(self, images: Any, targets: Any) -> Any:
        """Train on this device's share; return its part of the means of loss and accuracy."""
        share = self._share(tf.shape(images)[0])
        inputs = tf.cast(images[share], tf.float32) / 255
        if images.shape.rank == 3:
            inputs = inputs[..., tf.newaxis]
        with tf.GradientTape() as tape:
            outputs = self._model(inputs, training=True)
            # Keras divides it by the number of devices.
            loss = self._model.compute_loss(inputs, targets[share], outputs)
        variables = self._model.trainable_variables
        self._model.optimizer.apply(tape.gradient(loss, variables), variables)
        correct = tf.cast(self._accuracy(targets[share], outputs), tf.float32)
        return tf.stack([loss, tf.reduce_mean(correct) / self._count])

    def _share(self, rows: Any) -> slice:
        """Return this device's share of a batch; all of it if it cannot be shared evenly."""
        context = tf.distribute.get_replica_context()
        number = tf.cast(context.replica_id_in_sync_group, tf.int32)
        even = tf.equal(rows % self._count, 0)
        size = tf.where(even, rows // self._count, rows)
        start = tf.where(even, number * size, 0)
        return slice(start, start + size)


@functools.cache
def _strategy(names: tuple[str, ...]) -> Any:
    """Return the one strategy of these devices: TensorFlow confuses the sums of two."""
    return tf.distribute.MirroredStrategy(names)


def _mirror(model: Any) -> Any:
    """Return a copy of a compiled model whose batch statistics are those of all devices."""
    mirror = keras.models.clone_model(model)
    mirror.compile_from_config(model.get_compile_config())
    for layer in mirror.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return mirror


def _copy(source: Any, target: Any) -> None:
    pairs = zip(_variables(source), _variables(target), strict=True)
    for one, other in pairs:
        other.assign(one.numpy())


def _variables(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]
