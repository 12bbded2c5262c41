"""A compiled Keras model and an epoch's images in, the model trained on JAX's devices out.

The layout is that of `keras.distribution.DataParallel`: each device holds all weights and its share
of a batch. JAX sums the gradients, and the statistics of batch normalization, over the devices. All
processes know the images of the whole epoch; each copies its share to its devices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from . import devices as all_devices
from .devices import Devices
from .epochs_jax import Epochs, State


class ShardedEpochs(Epochs):
    """Trains a model as `epochs_jax.Epochs` does, on several devices."""

    def __init__(
        self,
        model: Any,
        accuracy: Callable[[Any, Any], Any],
        batch_size: int,
        devices: Devices,
    ) -> None:
        super().__init__(model, accuracy, batch_size)
        distribution = keras.distribution.DataParallel(devices=all_devices.jax_devices(devices))
        self._count = devices.count
        self._shared = distribution.get_data_layout((batch_size,)).backend_layout
        whole = keras.distribution.TensorLayout((), distribution.device_mesh)
        self._whole = whole.backend_layout
        self._run_step = jax.jit(self._step, donate_argnums=0, out_shardings=self._whole)

    def fit(self, images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        """Train for one epoch; return the mean loss and accuracy."""
        state, sums = self._copy_state(), []
        for start in range(0, len(images), self._batch_size):
            batch = slice(start, start + self._batch_size)
            state, step = self._run_step(
                state, (self._share(images[batch]), self._share(targets[batch]))
            )
            sums.append(step)
        self._assign(state)
        loss, accuracy = np.sum([np.asarray(step, float) for step in sums], axis=0) / len(images)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def _share(self, part: NDArray[Any]) -> Any:
        """Copy a batch to the devices: its share to each, or all of it if it cannot be shared."""
        return _place(part, self._whole if len(part) % self._count else self._shared)

    def _copy_state(self) -> State:
        trainable, non_trainable, optimizer = (
            [_place(np.asarray(variable.value), self._whole) for variable in group]
            for group in self._variables()
        )
        return trainable, non_trainable, optimizer

    def _assign(self, state: State) -> None:
        """Copy, because the model itself lives on one device of this process."""
        super()._assign(jax.tree.map(np.asarray, state))


def _place(array: NDArray[Any], layout: Any) -> Any:
    return jax.make_array_from_callback(array.shape, layout, array.__getitem__)
