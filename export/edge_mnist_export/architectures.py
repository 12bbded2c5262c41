"""The CNNs by name. Each takes (28, 28, 1) float32 in [0, 1] and answers (10,) probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers


def build(arch: str, *, activation: str = "relu") -> Any:
    """Return the untrained Keras model `arch`; its weights come from Keras's random seed."""
    inputs = keras.Input((28, 28, 1), name="image")
    outputs = ARCHITECTURES[arch](inputs, activation)
    return keras.Model(inputs, outputs, name=arch)


def _seed(x: Any, activation: str) -> Any:
    """The tutorial's CNN: 225,034 parameters, 2.63 M multiply-adds."""
    x = layers.Conv2D(32, 3, activation=activation)(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(64, 3, activation=activation)(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation=activation)(x)
    return layers.Dense(10, activation="softmax", name="probabilities")(x)


def _edge(x: Any, activation: str) -> Any:
    """A small one: 18,086 parameters, 0.75 M multiply-adds; the first layer halves the image."""
    x = _normalized(layers.Conv2D(12, 5, strides=2, padding="same", use_bias=False), x, activation)
    x = _normalized(layers.Conv2D(24, 3, padding="same", use_bias=False), x, activation)
    x = layers.MaxPooling2D(2)(x)
    x = _normalized(layers.Conv2D(32, 3, use_bias=False), x, activation)
    x = layers.Flatten()(x)
    return layers.Dense(10, activation="softmax", name="probabilities")(x)


def _accurate(x: Any, activation: str) -> Any:
    """The best reader that fits half a megabyte: 415,000 parameters, 12.2 M multiply-adds."""
    for filters, strides, padding in (
        (16, 1, "valid"),
        (32, 2, "same"),
        (64, 1, "valid"),
        (64, 1, "valid"),
        (112, 2, "same"),
        (128, 1, "same"),
        (128, 1, "valid"),
    ):
        convolution = layers.Conv2D(filters, 3, strides=strides, padding=padding, use_bias=False)
        x = _normalized(convolution, x, activation)
    x = layers.Flatten()(x)
    return layers.Dense(10, activation="softmax", name="probabilities")(x)


def _normalized(convolution: Any, x: Any, activation: str) -> Any:
    """Batch normalization behind a convolution; an export folds it into the weights."""
    return layers.Activation(activation)(layers.BatchNormalization()(convolution(x)))


ARCHITECTURES: dict[str, Callable[[Any, str], Any]] = {
    "seed": _seed,
    "edge": _edge,
    "accurate": _accurate,
}
