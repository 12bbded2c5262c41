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


def _pico(x: Any, activation: str) -> Any:
    """What fits 10 kB: 5,434 parameters, 0.1 M multiply-adds."""
    return _convolutions(
        layers.Reshape((28, 7, 4))(x),
        activation,
        (12, (4, 2), (2, 1), "valid"),
        (12, 3, (2, 1), "valid"),
        (12, 3, 1, "valid"),
        (12, 3, 1, "same"),
    )


def _nano(x: Any, activation: str) -> Any:
    """A very small one: 7,338 parameters, 0.1 M multiply-adds."""
    return _convolutions(
        layers.Reshape((28, 7, 4))(x),
        activation,
        (12, (4, 2), (2, 1), "valid"),
        (16, 3, (2, 1), "valid"),
        (16, 3, 1, "valid"),
        (12, 3, 1, "same"),
    )


def _edge(x: Any, activation: str) -> Any:
    """A small one: 19,610 parameters, 0.48 M multiply-adds."""
    return _convolutions(
        layers.Reshape((28, 7, 4))(x),
        activation,
        (20, (4, 2), (2, 1), "same"),
        (24, 3, (2, 1), "same"),
        (28, 3, 1, "valid"),
        (24, 3, 1, "valid"),
    )


def _accurate(x: Any, activation: str) -> Any:
    """The best reader that fits half a megabyte: 414,746 parameters, 12.2 M multiply-adds."""
    return _convolutions(
        x,
        activation,
        (16, 3, 1, "valid"),
        (32, 3, 2, "same"),
        (64, 3, 1, "valid"),
        (64, 3, 1, "valid"),
        (112, 3, 2, "same"),
        (128, 3, 1, "same"),
        (128, 3, 1, "valid"),
    )


def _convolutions(x: Any, activation: str, *shape: tuple[int, Any, Any, str]) -> Any:
    """Convolutions of (filters, kernel, strides, padding), and a dense layer behind them.

    An export folds batch normalization into the weights. On one channel a convolution fills a
    fourth of a vector of int8 products: the small ones take four pixels of a row as channels,
    a reshape that moves no byte.
    """
    for filters, kernel, strides, padding in shape:
        convolution = layers.Conv2D(
            filters, kernel, strides=strides, padding=padding, use_bias=False
        )
        x = layers.Activation(activation)(layers.BatchNormalization()(convolution(x)))
    return layers.Dense(10, activation="softmax", name="probabilities")(layers.Flatten()(x))


ARCHITECTURES: dict[str, Callable[[Any, str], Any]] = {
    "pico": _pico,
    "nano": _nano,
    "edge": _edge,
    "accurate": _accurate,
    "seed": _seed,
}
