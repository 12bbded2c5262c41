"""On JAX, an epoch as one compiled call: Keras would step through it in Python.

The images cross to the device once an epoch, as bytes; a loop on the device takes the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

State = tuple[list[Any], list[Any], list[Any]]
Measure = Callable[[Any, Any], Any]


class Epochs:
    """Trains a compiled Keras model as `model.fit` does, without shuffling.

    Args:
        model: takes floats in [0, 1]; no layer of it may draw random numbers.
        accuracy: what is right of (targets, probabilities): (n,) of 0 and 1.
        batch_size: images a step; the last one of an epoch takes what is left.
    """

    def __init__(self, model: Any, accuracy: Measure, batch_size: int) -> None:
        self._model, self._accuracy, self._batch_size = model, accuracy, batch_size
        model.optimizer.build(model.trainable_variables)
        self._epoch = jax.jit(self._scan, donate_argnums=0)
        self._last = jax.jit(self._step, donate_argnums=0)

    def fit(self, images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        """Train on images (n, h, w) uint8 in their order; return mean loss and accuracy."""
        steps, left = divmod(len(images), self._batch_size)
        whole = len(images) - left
        state, totals = self._state(), np.zeros(2)
        if steps:
            batches = (
                part[:whole].reshape(steps, self._batch_size, *part.shape[1:])
                for part in (images, targets)
            )
            state, sums = self._epoch(state, *map(jnp.asarray, batches))
            totals += np.asarray(sums, float)
        if left:
            state, sums = self._last(state, (images[whole:], targets[whole:]))
            totals += np.asarray(sums, float)
        self._keep(state)
        loss, accuracy = totals / len(images)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def _variables(self) -> tuple[Any, Any, Any]:
        model = self._model
        return model.trainable_variables, model.non_trainable_variables, model.optimizer.variables

    def _state(self) -> State:
        # Copies, since what goes into the call is given up to it.
        kinds = ([jnp.array(one.value) for one in kind] for kind in self._variables())
        trainable, others, optimizer = kinds
        return trainable, others, optimizer

    def _keep(self, state: State) -> None:
        for variables, values in zip(self._variables(), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _scan(self, state: State, images: Any, targets: Any) -> tuple[State, Any]:
        state, sums = jax.lax.scan(self._step, state, (images, targets))
        return state, sums.sum(axis=0)

    def _step(self, state: State, batch: tuple[Any, Any]) -> tuple[State, Any]:
        trainable, others, optimizer = state
        images, targets = batch
        pixels = images[..., None].astype("float32") / 255

        def loss_of(trainable: list[Any]) -> tuple[Any, tuple[list[Any], Any]]:
            answers, after = self._model.stateless_call(trainable, others, pixels, training=True)
            loss = self._model.compute_loss(pixels, targets, answers)
            return loss, (after, answers)

        (loss, (others, answers)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        trainable, optimizer = self._model.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        right = self._accuracy(targets, answers).sum()
        return (trainable, others, optimizer), jnp.stack([loss * len(images), right])
