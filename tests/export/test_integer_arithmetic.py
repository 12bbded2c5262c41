"""Keras models of every operator: numpy's arithmetic beside LiteRT, on the converted file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_mnist.backends import RUNTIMES, load
from edge_mnist.datasets import synthetic
from edge_mnist.int8 import read_graph

pytestmark = pytest.mark.slow
IMAGES = 200


def residual(layers: Any, x: Any) -> Any:
    """ADD with and without ReLU, MAX_POOL_2D, dilations."""
    x = layers.MaxPooling2D(2)(layers.Conv2D(8, 3, padding="same", activation="relu")(x))
    x = layers.Add()([x, layers.Conv2D(8, 3, padding="same", dilation_rate=2)(x)])
    x = layers.ReLU()(layers.Add()([x, layers.Conv2D(8, 3, padding="same")(x)]))
    return layers.GlobalMaxPooling2D()(layers.Conv2D(16, 3, strides=2)(x))


def mobile(layers: Any, x: Any) -> Any:
    """Depthwise convolutions, ReLU6, MEAN, and a PAD."""
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.ZeroPadding2D(((1, 0), (2, 1)))(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2)(x)
    return layers.GlobalAveragePooling2D()(layers.Conv2D(16, 1, activation="relu")(x))


def activations(layers: Any, x: Any) -> Any:
    """AVERAGE_POOL_2D, MUL, and the functions of one value that LiteRT computes by table."""
    x = layers.AveragePooling2D(3, strides=2, padding="same")(layers.Conv2D(4, 3)(x))
    x = layers.Conv2D(4, 3, activation="swish")(x)
    x = layers.Conv2D(4, 3, activation="tanh")(x)
    x = layers.Conv2D(8, 3, activation="sigmoid")(x)
    return layers.Dense(32, activation="gelu")(layers.Flatten()(x))


MODELS = {
    residual: {"Add", "Pool", "Convolution", "Softmax"},
    mobile: {"DepthwiseConvolution", "Pad", "Mean"},
    activations: {"Pool", "Table", "Multiply"},
}


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_every_operator_equals_litert_to_the_byte(build: Callable[[Any, Any], Any]) -> None:
    import keras

    from edge_mnist_export.conversion import tflite
    from edge_mnist_export.quantization.search import Scheme

    keras.utils.set_random_seed(1)
    inputs = keras.Input((28, 28, 1))
    features = build(keras.layers, inputs)
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(features))
    # Keras's biases would be 0, and its probabilities all alike.
    rng, steeper = np.random.default_rng(0), model.layers[-1].kernel
    model.set_weights(
        [w + rng.normal(0, 0.1, w.shape) if w.ndim == 1 else w for w in model.get_weights()]
    )
    steeper.assign(steeper * 10)
    images = synthetic.draw(np.arange(IMAGES) % 10, seed=4)[..., np.newaxis]
    with tflite.trace(model) as graph:
        quantizer = tflite.Quantizer(graph, (images[:50] / np.float32(255)), [50], (0.0, 1.0))
        content = quantizer.quantize(Scheme(50))
    kinds = {type(operator).__name__ for operator in read_graph(content).operators}
    assert kinds >= MODELS[build]
    litert, ours = (load(RUNTIMES[name], content, name="m") for name in ("litert", "numpy"))
    expected = np.concatenate([litert.run(image[np.newaxis]) for image in images])
    assert ours.run(images).tobytes() == expected.tobytes()
    assert len(np.unique(expected)) > 12, np.unique(expected)
