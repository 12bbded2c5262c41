"""A Keras model and validation images in, its rejection threshold out.

A device answers "no digit" where the confidence is below the threshold. The threshold is chosen on
validation images, on pictures into which they are composed, and on drawn photographs. Every picture
goes through the preprocessing of a device. Going up, the threshold refuses wrong answers and right
ones: the choice is where the wrong answers exceed the right ones by most, so that refusing one more
right answer no longer saves a wrong one. Two bounds limit the choice:

- It accepts at least `ACCEPTED` of the right answers to validation images.
- It refuses as many pictures without a digit as the threshold that accepts `STRICT` of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.datasets import Split
from edge_mnist.errors import NoDigitError
from edge_mnist.vision.preprocess import preprocess

from ..data import composed_pictures, drawn_photographs
from ..data.composed_pictures import TUNING_SEED
from ..data.ink import Hand
from . import non_digits

# Fractions of the right answers to validation images. On MNIST's test set at least 0.995 are to be
# accepted, and validation images of 0.997 leave a margin to it.
ACCEPTED, STRICT = 0.995, 0.997
# Pictures of each set: about five seconds in all, most of them preprocessing. Large photographs
# would take longer.
_COMPOSED = {"photographs": 36, "form cells": 36, "low resolution": 36}
_DRAWN = 44
_SIDES = (56, 300)
# Thresholds of the curve in the manifest.
_CURVE = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


Predict = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


class Answers(NamedTuple):
    """A model's confidence in [0, 1], and whether its digit is the true one; each (n,)."""

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class _Digits:
    """Validation images, to be compared by their data set and number."""

    sha256: str
    count: int
    split: Split = field(compare=False)


def choose(
    predict: Predict, spec: ModelSpec, validation: Split, *, seed: int
) -> dict[str, Any] | None:
    """Choose the threshold of a model of digits.

    Args:
        predict: the model's probabilities (n, classes) for images (n, …) uint8.
        spec: the model's spec.
        validation: images that training did not use.
        seed: decides which pictures without a digit are drawn.

    Returns:
        The manifest's `refusal`: the threshold in [0, 1), the fraction that it keeps and of how
        many images, the pictures that it was chosen on, the curve of refusals against errors, and
        the fraction of pictures without a digit that it refuses, by kind. None if the classes are
        not the digits, or if no validation image is classified correctly.
    """
    if not spec.digits or not len(validation.images):
        return None
    images = _answers(predict, validation.images, validation.labels)
    if not images.right.any():
        return None
    digits = _Digits(validation.sha256, len(validation.images), validation)
    located = _pictures(spec, digits)
    pictures = {
        name: _answers(predict, images, labels) for name, (_, images, labels) in located.items()
    }
    others = {
        kind: (count, _answers(predict, images).confidence)
        for kind, (count, images) in _non_digits(spec, seed).items()
    }
    together = join([images, *pictures.values()])
    empty = np.concatenate([confidence for _, confidence in others.values()])
    threshold = best_threshold(images, together, empty)
    return {
        "data": validation.name,
        "threshold": threshold,
        "kept": round(float((images.confidence[images.right] >= threshold).mean()), 4),
        "of": f"{int(images.right.sum())} held-out images read rightly",
        "pictures": {name: count for name, (count, _, _) in located.items()},
        "curve": curve(together, empty, _CURVE),
        "refused": {
            kind: round((count - int((confidence >= threshold).sum())) / count, 3)
            for kind, (count, confidence) in others.items()
        },
    }


def best_threshold(images: Answers, answers: Answers, others: NDArray[np.float64]) -> float:
    """Return the threshold, rounded down to 0.001: later digits depend on the processor.

    Args:
        images: answers to validation images, at least one of them right.
        answers: answers to the same images and to pictures.
        others: confidence (n,) in pictures without a digit.
    """
    accepted = np.sort(images.confidence[images.right])
    low, high = (accepted[int((1 - share) * len(accepted))] for share in (STRICT, ACCEPTED))
    # Down to just above the next picture without a digit, none more is accepted.
    below = others[others < low]
    low = min(low, float(below.max()) + 0.001) if len(below) else 0.0
    order = np.argsort(answers.confidence)
    confidence = answers.confidence[order]
    # Refusing the answers before each one: the wrong ones less the right ones.
    gain = np.concatenate([[0], np.cumsum(1 - 2 * answers.right[order].astype(int))[:-1]])
    allowed = np.flatnonzero((confidence >= low) & (confidence <= high))
    if not len(allowed):
        return _round_down(high)
    gains = gain[allowed]
    # Of several, the highest: it refuses most pictures without a digit.
    return _round_down(float(confidence[allowed[np.flatnonzero(gains == gains.max())[-1]]]))


def curve(
    answers: Answers, others: NDArray[np.float64], thresholds: Iterable[float]
) -> list[dict[str, Any]]:
    """Return how many answers each threshold refuses, and which errors it leaves."""
    right, confidence = answers.right, answers.confidence
    return [
        {
            "threshold": threshold,
            "right_refused": int((right & (confidence < threshold)).sum()),
            "wrong_refused": int((~right & (confidence < threshold)).sum()),
            "wrong_accepted": int((~right & (confidence >= threshold)).sum()),
            "no_digit_accepted": int((others >= threshold).sum()),
        }
        for threshold in thresholds
    ]


def join(parts: Sequence[Answers]) -> Answers:
    """Return several sets of answers as one."""
    return Answers(
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.right for part in parts]),
    )


def _round_down(value: float) -> float:
    return float(np.floor(value * 1000) / 1000)


def _answers(
    predict: Predict,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer] | None = None,
) -> Answers:
    """Return a model's answers to images (n, …); without labels, none is right."""
    if not len(images):
        return Answers(np.zeros(0), np.zeros(0, bool))
    probabilities = predict(images)
    digits = probabilities.argmax(axis=1)
    right = np.zeros(len(images), bool) if labels is None else digits == labels
    return Answers(probabilities.max(axis=1).astype(np.float64), right)


@functools.lru_cache(maxsize=1)
def _pictures(
    spec: ModelSpec, digits: _Digits
) -> Mapping[str, tuple[int, NDArray[np.uint8], NDArray[np.intp]]]:
    """Return, by set, the number of pictures, and the images and labels of those with a digit.

    Kept for the next export: drawing and preprocessing take seconds.
    """
    sets = {"drawn photographs": drawn_photographs.pictures(_DRAWN, seed=TUNING_SEED)}
    split = digits.split
    # An export's images have an axis of one channel.
    hand = Hand(split.images.reshape(split.images.shape[:3]), split.labels)
    if set(np.unique(hand.labels)) == set(range(10)):
        for name, count in _COMPOSED.items():
            sets[name] = composed_pictures.pictures(
                name, hand, count, seed=TUNING_SEED, sides=_SIDES
            )
    found = {}
    for name, pictures in sets.items():
        drawn = [(_preprocess(one.picture, spec), int(one.text)) for one in pictures]
        located = [(image, label) for image, label in drawn if image is not None]
        images = np.array([image for image, _ in located], np.uint8)
        found[name] = len(drawn), images, np.array([label for _, label in located], np.intp)
    return found


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


def _preprocess(picture: Any, spec: ModelSpec) -> NDArray[np.uint8] | None:
    try:
        return preprocess(picture, spec)
    except NoDigitError:
        return None
