"""An architecture's name in, an untrained Keras model out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import layers

from edge_mnist.errors import DataError


class Convolution(NamedTuple):
    """One convolution, followed by batch normalization and the activation."""

    filters: int
    kernel: int | tuple[int, int]
    strides: int | tuple[int, int]
    padding: str


# These take four pixels of a row as channels, if the image is grey. A convolution on one channel
# fills only a fourth of each int8 vector instruction.
_PIXELS = 4
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


def build(
    arch: str,
    *,
    activation: str = "relu",
    shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
) -> Any:
    """Return an untrained model. Its weights come from Keras's global random seed.

    Args:
        arch: "pico", "nano", "edge", "accurate" or "seed".
        activation: of the hidden layers, a Keras name.
        shape: of an image: height, width, and 1 or 3 channels.
        classes: the number of classes.

    Returns:
        A Keras model from (n, *shape) float32 in [0, 1] to (n, classes) probabilities.

    Raises:
        DataError: the images are too small for the architecture.
    """
    inputs = keras.Input(shape, name="image")
    try:
        features = _features(inputs, arch, activation)
    except ValueError as error:
        raise DataError(
            f"Expected images large enough for the convolutions of {arch}, got "
            f"{shape[0]}×{shape[1]} pixels; give --size 28x28 for pictures, or enlarge the arrays.",
            code="data-size",
        ) from error
    outputs = layers.Dense(classes, activation="softmax", name="probabilities")(features)
    return keras.Model(inputs, outputs, name=arch)


def _features(inputs: Any, arch: str, activation: str) -> Any:
    if arch == "seed":
        return _tutorial_cnn(inputs, activation)
    if arch == "accurate":
        return _convolve(inputs, _ACCURATE, activation)
    height, width, channels = inputs.shape[1:]
    convolutions = _FOUR_CHANNELS[arch]
    if channels == 1 and width % _PIXELS == 0:
        # Moves no byte.
        pixels = layers.Reshape((height, width // _PIXELS, _PIXELS), name="reshape")(inputs)
        return _convolve(pixels, convolutions, activation)
    return _convolve(inputs, (_without_packing(convolutions[0]), *convolutions[1:]), activation)


def _without_packing(convolution: Convolution) -> Convolution:
    """Return the convolution that sees the same pixels where each is a column of its own."""
    (height, width), (down, right) = convolution.kernel, convolution.strides  # type: ignore[misc]
    return convolution._replace(kernel=(height, width * _PIXELS), strides=(down, right * _PIXELS))


def _tutorial_cnn(x: Any, activation: str) -> Any:
    """The CNN of Keras's tutorial: 225,034 parameters, 2.63 M multiply-adds."""
    for index, filters in enumerate((32, 64)):
        convolution = layers.Conv2D(filters, 3, activation=activation, name=_name("conv2d", index))
        x = layers.MaxPooling2D(2, name=_name("max_pooling2d", index))(convolution(x))
    flat = layers.Flatten(name="flatten")(x)
    return layers.Dense(128, activation=activation, name="dense")(flat)


def _convolve(x: Any, convolutions: Sequence[Convolution], activation: str) -> Any:
    for index, (filters, kernel, strides, padding) in enumerate(convolutions):
        # Export folds batch normalization into the weights and gives them a bias.
        x = layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            padding=padding,
            use_bias=False,
            name=_name("conv2d", index),
        )(x)
        x = layers.BatchNormalization(name=_name("batch_normalization", index))(x)
        x = layers.Activation(activation, name=_name("activation", index))(x)
    return layers.Flatten(name="flatten")(x)


def _name(kind: str, index: int) -> str:
    """Return the name that Keras gives in a new process; it counts all layers of a process."""
    return f"{kind}_{index}" if index else kind
