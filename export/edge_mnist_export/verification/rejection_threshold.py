"""A Keras model and validation images in, its rejection threshold out.

A device answers "no digit" where the confidence is below the threshold. The threshold accepts
`ACCEPTED` of the validation images that the model classifies correctly. Drawn pictures without a
digit, preprocessed as on a device, show how many of those it rejects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class RejectionThreshold:
    """A threshold and its effect.

    Attributes:
        data: the name of the validation images.
        threshold: the least confidence of a digit, in [0, 1).
        accepted: fraction of the correctly classified validation images at or above it.
        images: the number of these images.
        rejected: fraction of pictures without a digit that are rejected, by kind.
    """

    data: str
    threshold: float
    accepted: float
    images: int
    rejected: dict[str, float]

    def manifest_entry(self) -> dict[str, Any]:
        """Return the manifest's `refusal`, in the keys of schema 1."""
        return {
            "data": self.data,
            "threshold": self.threshold,
            "kept": self.accepted,
            "of": f"{self.images} held-out images read rightly",
            "refused": self.rejected,
        }

    def summary(self) -> str:
        """Return one line for the export's progress."""
        return (
            f"Rejection threshold {self.threshold:.3f}: accepts {self.accepted:.2%} of "
            f"{self.images} correctly classified held-out images"
        )


def choose(
    model: Any, spec: ModelSpec, validation: Split, *, seed: int
) -> RejectionThreshold | None:
    """Choose the threshold of a model of digits.

    Args:
        model: the Keras model, whose outputs are probabilities.
        spec: the model's spec.
        validation: images that training did not use.
        seed: decides which pictures without a digit are drawn.

    Returns:
        None if the model's classes are not the digits, or if it classifies no validation image
        correctly.
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
    return RejectionThreshold(
        validation.name,
        threshold,
        accepted=round(float((confidences >= threshold).mean()), 4),
        images=len(confidences),
        rejected={
            kind: _rejected(model, spec, pictures, threshold)
            for kind, pictures in non_digits.draw(seed).items()
        },
    )


def _predict(model: Any, images: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.float32]:
    probabilities: NDArray[np.float32] = model.predict(as_input(images, spec.scaling), verbose=0)
    return probabilities


def _rejected(
    model: Any, spec: ModelSpec, pictures: Sequence[NDArray[np.uint8]], threshold: float
) -> float:
    """Return the fraction of pictures that preprocessing or the threshold rejects."""
    images = [image for picture in pictures if (image := _preprocess(picture, spec)) is not None]
    accepted = 0
    if images:
        accepted = int((_predict(model, np.stack(images), spec).max(axis=1) >= threshold).sum())
    return round((len(pictures) - accepted) / len(pictures), 3)


def _preprocess(picture: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8] | None:
    try:
        return preprocess(picture, spec)
    except NoDigitError:
        return None
