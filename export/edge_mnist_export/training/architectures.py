"""An architecture's name in, an untrained Keras model out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import layers


class Convolution(NamedTuple):
    """One convolution, followed by batch normalization and the activation."""

    filters: int
    kernel: int | tuple[int, int]
    strides: int | tuple[int, int]
    padding: str


# These take four pixels of a row as channels. A convolution on one channel fills only a fourth
# of each int8 vector instruction.
_FOUR_CHANNELS = {
    # For files below 10 kB: 5,434 parameters, 0.1 M multiply-adds.
    "pico": (
        Convolution(12, (4, 2), (2, 1), "valid"),
        Convolution(12, 3, (2, 1), "valid"),
        Convolution(12, 3, 1, "valid"),
        Convolution(12, 3, 1, "same"),
    ),
    # 7,338 parameters, 0.1 M multiply-adds.
    "nano": (
        Convolution(12, (4, 2), (2, 1), "valid"),
        Convolution(16, 3, (2, 1), "valid"),
        Convolution(16, 3, 1, "valid"),
        Convolution(12, 3, 1, "same"),
    ),
    # 19,610 parameters, 0.48 M multiply-adds.
    "edge": (
        Convolution(20, (4, 2), (2, 1), "same"),
        Convolution(24, 3, (2, 1), "same"),
        Convolution(28, 3, 1, "valid"),
        Convolution(24, 3, 1, "valid"),
    ),
}
# The most accurate below half a megabyte: 414,746 parameters, 12.2 M multiply-adds.
_ACCURATE = (
    Convolution(16, 3, 1, "valid"),
    Convolution(32, 3, 2, "same"),
    Convolution(64, 3, 1, "valid"),
    Convolution(64, 3, 1, "valid"),
    Convolution(112, 3, 2, "same"),
    Convolution(128, 3, 1, "same"),
    Convolution(128, 3, 1, "valid"),
)


def build(arch: str, *, activation: str = "relu") -> Any:
    """Return an untrained model. Its weights come from Keras's global random seed.

    Args:
        arch: "pico", "nano", "edge", "accurate" or "seed".
        activation: of the hidden layers, a Keras name.

    Returns:
        A Keras model from (n, 28, 28, 1) float32 in [0, 1] to (n, 10) probabilities.
    """
    inputs = keras.Input((28, 28, 1), name="image")
    if arch == "seed":
        features = _tutorial_cnn(inputs, activation)
    elif arch == "accurate":
        features = _convolve(inputs, _ACCURATE, activation)
    else:
        pixels = layers.Reshape((28, 7, 4))(inputs)  # moves no byte
        features = _convolve(pixels, _FOUR_CHANNELS[arch], activation)
    outputs = layers.Dense(10, activation="softmax", name="probabilities")(features)
    return keras.Model(inputs, outputs, name=arch)


def _tutorial_cnn(x: Any, activation: str) -> Any:
    """The CNN of Keras's tutorial: 225,034 parameters, 2.63 M multiply-adds."""
    for filters in (32, 64):
        x = layers.MaxPooling2D(2)(layers.Conv2D(filters, 3, activation=activation)(x))
    return layers.Dense(128, activation=activation)(layers.Flatten()(x))


def _convolve(x: Any, convolutions: Sequence[Convolution], activation: str) -> Any:
    for filters, kernel, strides, padding in convolutions:
        # Export folds batch normalization into the weights and gives them a bias.
        convolution = layers.Conv2D(
            filters, kernel, strides=strides, padding=padding, use_bias=False
        )
        x = layers.Activation(activation)(layers.BatchNormalization()(convolution(x)))
    return layers.Flatten()(x)
