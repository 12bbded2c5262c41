"""A compiled Keras model and an epoch's images in, the model trained on them by JAX out.

Keras runs a Python loop over the steps. Here one compiled call runs them all on the device, to
which the images are copied once per epoch, as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

State = tuple[list[Any], list[Any], list[Any]]


class Epochs:
    """Trains a model as Keras's `fit` does without shuffling; see `epochs.fit_function`."""

    def __init__(self, model: Any, accuracy: Callable[[Any, Any], Any], batch_size: int) -> None:
        self._model, self._accuracy, self._batch_size = model, accuracy, batch_size
        model.optimizer.build(model.trainable_variables)
        self._run_full_steps = jax.jit(self._scan, donate_argnums=0)
        self._run_step = jax.jit(self._step, donate_argnums=0)

    def fit(self, images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        """Train for one epoch; return the mean loss and accuracy."""
        steps, remainder = divmod(len(images), self._batch_size)
        full = len(images) - remainder
        state, totals = self._copy_state(), np.zeros(2)
        if steps:
            batches = (
                part[:full].reshape(steps, self._batch_size, *part.shape[1:])
                for part in (images, targets)
            )
            state, sums = self._run_full_steps(state, *map(jnp.asarray, batches))
            totals += np.asarray(sums, float)
        if remainder:
            state, sums = self._run_step(state, (images[full:], targets[full:]))
            totals += np.asarray(sums, float)
        self._assign(state)
        loss, accuracy = totals / len(images)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def _variables(self) -> tuple[Any, Any, Any]:
        model = self._model
        return model.trainable_variables, model.non_trainable_variables, model.optimizer.variables

    def _copy_state(self) -> State:
        """Copy, because a compiled call frees the buffers of its argument."""
        trainable, non_trainable, optimizer = (
            [jnp.array(variable.value) for variable in group] for group in self._variables()
        )
        return trainable, non_trainable, optimizer

    def _assign(self, state: State) -> None:
        for variables, values in zip(self._variables(), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _scan(self, state: State, images: Any, targets: Any) -> tuple[State, Any]:
        state, sums = jax.lax.scan(self._step, state, (images, targets))
        return state, sums.sum(axis=0)

    def _step(self, state: State, batch: tuple[Any, Any]) -> tuple[State, Any]:
        """Return the new state, and the sums of loss and accuracy over the batch."""
        trainable, non_trainable, optimizer = state
        images, targets = batch
        inputs = images.astype("float32") / 255
        if images.ndim == 3:
            inputs = inputs[..., None]

        def loss_of(trainable: list[Any]) -> tuple[Any, tuple[list[Any], Any]]:
            outputs, updated = self._model.stateless_call(
                trainable, non_trainable, inputs, training=True
            )
            return self._model.compute_loss(inputs, targets, outputs), (updated, outputs)

        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (non_trainable, outputs)), gradients = gradient(trainable)
        trainable, optimizer = self._model.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        correct = self._accuracy(targets, outputs).sum()
        return (trainable, non_trainable, optimizer), jnp.stack([loss * len(images), correct])
