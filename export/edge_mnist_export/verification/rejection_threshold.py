"""A Keras model and validation images in, its rejection threshold out.

A device answers "no digit" where the confidence is below the threshold. The threshold accepts
`ACCEPTED` of the validation images that the model classifies correctly. Drawn pictures without a
digit, preprocessed as on a device, show how many of those it rejects.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.datasets import Split
from edge_mnist.errors import NoDigitError
from edge_mnist.vision.preprocess import preprocess

from ..data.model_input import as_input
from . import non_digits

# Fraction of correctly classified validation images to accept. The goal is 0.995 on MNIST's test
# set, and a user's own pictures get less confidence than MNIST's.
ACCEPTED = 0.997


def choose(model: Any, spec: ModelSpec, validation: Split, *, seed: int) -> dict[str, Any] | None:
    """Choose the threshold of a model of digits.

    Args:
        model: the Keras model, whose outputs are probabilities.
        spec: the model's spec.
        validation: images that training did not use.
        seed: decides which pictures without a digit are drawn.

    Returns:
        The manifest's `refusal`: the threshold in [0, 1), the fraction that it keeps and of how
        many images, and the fraction of pictures without a digit that it refuses, by kind. None if
        the classes are not the digits, or if no validation image is classified correctly.
    """
    if not spec.digits or not len(validation.images):
        return None
    probabilities = _predict(model, validation.images, spec)
    correct = probabilities.argmax(axis=1) == validation.labels
    confidences = np.sort(probabilities.max(axis=1)[correct].astype(np.float64))
    if not len(confidences):
        return None
    # Rounded down to 0.001, because the last bits of a probability depend on the processor.
    quantile = confidences[int((1 - ACCEPTED) * len(confidences))]
    threshold = float(np.floor(quantile * 1000) / 1000)
    return {
        "data": validation.name,
        "threshold": threshold,
        "kept": round(float((confidences >= threshold).mean()), 4),
        "of": f"{len(confidences)} held-out images read rightly",
        "refused": {
            kind: round((count - _accepted(model, spec, images, threshold)) / count, 3)
            for kind, (count, images) in _non_digits(spec, seed).items()
        },
    }


def _predict(model: Any, images: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.float32]:
    probabilities: NDArray[np.float32] = model.predict(as_input(images, spec.scaling), verbose=0)
    return probabilities


def _accepted(model: Any, spec: ModelSpec, images: NDArray[np.uint8], threshold: float) -> int:
    """Return how many of the images (n, …) the threshold accepts."""
    if not len(images):
        return 0
    return int((_predict(model, images, spec).max(axis=1) >= threshold).sum())


@functools.lru_cache(maxsize=1)
def _non_digits(spec: ModelSpec, seed: int) -> Mapping[str, tuple[int, NDArray[np.uint8]]]:
    """Return, by kind, the number of pictures and the images that preprocessing accepts.

    Kept for the next export: preprocessing them takes seconds.
    """
    found = {}
    for kind, pictures in non_digits.draw(seed).items():
        images = [
            image for picture in pictures if (image := _preprocess(picture, spec)) is not None
        ]
        found[kind] = len(pictures), np.array(images, np.uint8)
    return found


def _preprocess(picture: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8] | None:
    try:
        return preprocess(picture, spec)
    except NoDigitError:
        return None
