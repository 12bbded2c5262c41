"""A compiled Keras model in, a function that trains it for one epoch out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ..data.model_input import as_input
from ..runs import Recipe
from . import losses
from .devices import ONE, Devices

# From images (n, h, w) or (n, h, w, c) uint8 and their targets to the mean "loss" and "accuracy".
FitEpoch = Callable[[NDArray[np.uint8], NDArray[np.generic]], dict[str, float]]


def fit_function(
    model: Any,
    recipe: Recipe,
    show: Callable[[float], None],
    callbacks: Any = None,
    devices: Devices = ONE,
) -> FitEpoch:
    """Return the fastest function for the recipe's backend and its devices.

    The model takes float32 in [0, 1]. Under JAX none of its layers may draw random numbers.

    Args:
        model: the compiled model.
        recipe: its backend, labels and batch size.
        show: takes the fraction of the epoch that is done, where the backend returns to Python
            within an epoch: TensorFlow on a CPU.
        callbacks: a `keras.callbacks.CallbackList`, whose hooks for batches are called. Keras's
            own loop does that, and trains the same model.
        devices: of the backend; by default the first one.
    """
    one_hot = recipe.labels == "one-hot"
    accuracy = losses.accuracy if one_hot else keras.metrics.sparse_categorical_accuracy
    if devices.count > 1:
        fit = _fit_on_devices(model, recipe, accuracy, show, devices)
        return _by_batch(fit, recipe.batch_size, callbacks) if callbacks else fit
    if callbacks:
        return _keras_fit(model, recipe.batch_size, [_BatchHooks(callbacks)])
    if recipe.backend == "tensorflow":
        from . import epochs_tensorflow

        return epochs_tensorflow.Epochs(model, accuracy, recipe.batch_size, show).fit
    import jax

    # On a CPU, XLA's loop took ten times as long as Keras's.
    if jax.default_backend() == "cpu":
        return _keras_fit(model, recipe.batch_size)
    from . import epochs_jax

    return epochs_jax.Epochs(model, accuracy, recipe.batch_size).fit


def _fit_on_devices(
    model: Any,
    recipe: Recipe,
    accuracy: Callable[[Any, Any], Any],
    show: Callable[[float], None],
    devices: Devices,
) -> FitEpoch:
    if recipe.backend == "tensorflow":
        from .epochs_mirrored import MirroredEpochs

        return MirroredEpochs(model, accuracy, recipe.batch_size, show, devices).fit
    from .epochs_sharded import ShardedEpochs

    return ShardedEpochs(model, accuracy, recipe.batch_size, devices).fit


def _by_batch(fit: FitEpoch, batch_size: int, callbacks: Any) -> FitEpoch:
    """Return a function that calls the hooks for batches, and `fit` for one batch at a time."""

    def fit_epoch(images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        sums: dict[str, float] = {}
        means: dict[str, float] = {}
        for step, start in enumerate(range(0, len(images), batch_size)):
            callbacks.on_train_batch_begin(step)
            end = min(start + batch_size, len(images))
            row = fit(images[start:end], targets[start:end])
            sums = {name: sums.get(name, 0) + row[name] * (end - start) for name in row}
            means = {name: total / end for name, total in sums.items()}
            callbacks.on_train_batch_end(step, means)
        return means

    return fit_epoch


class _BatchHooks(keras.callbacks.Callback):  # type: ignore[misc]
    """Passes on what happens within an epoch; the loop of the run calls the other hooks."""

    def __init__(self, callbacks: Any) -> None:
        super().__init__()
        self._callbacks = callbacks

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._callbacks.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._callbacks.on_train_batch_end(batch, logs)


def _keras_fit(model: Any, batch_size: int, callbacks: Sequence[Any] = ()) -> FitEpoch:
    def fit(images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        inputs = as_input(images)
        options = {"shuffle": False, "verbose": 0, "callbacks": [*callbacks]}
        fitted = model.fit(inputs, targets, batch_size=batch_size, **options)
        return {name: float(values[-1]) for name, values in fitted.history.items()}

    return fit
