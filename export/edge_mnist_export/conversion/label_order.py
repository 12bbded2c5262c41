"""A model's predictions on labelled images in; an error out if the labels do not fit its outputs.

A model's file does not name its outputs. If the data number their classes in another order, every
exported file agrees with Keras and is useless. Two signs tell on training images: the labels in
another order fit far better, or the predictions are no better than chance.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_mnist.datasets import Split
from edge_mnist.errors import DataError, ModelError
from edge_mnist.system.text_table import percent

# Another order of the labels has to gain this accuracy, as a fraction, and to leave this
# fraction of the errors at the most.
# Two exchanged classes of ten cost 0.2. An honest model that learnt little gains less: its
# confusions are no permutation.
_GAIN = 0.15
_ERRORS_LEFT = 2 / 3
# Standard errors above chance from which an accuracy counts as better than chance.
_STANDARD_ERRORS = 2
# With fewer images, chance reaches a high accuracy.
_ENOUGH_IMAGES = 30

Classes = NDArray[np.integer]


def in_output_order(split: Split, labels: Sequence[str] | None) -> Split:
    """Return the split with its classes in the order of the model's outputs.

    Args:
        split: data with as many classes as the model has outputs.
        labels: the names of the outputs in order; None for the order of the data. Classes are
            found by name, but classes that are only numbers keep their order.

    Raises:
        DataError: another number of labels, or names that the data does not have.
    """
    if labels is None:
        return split
    classes = split.classes
    if len(labels) != len(classes):
        raise DataError(
            f"Expected {len(classes)} labels, one for each output of the model in its order, got "
            f"{len(labels)} ({', '.join(labels)}) in --labels.",
            code="data-label-count",
        )
    unknown = [label for label in labels if label not in classes]
    if unknown and classes != tuple(map(str, range(len(classes)))):
        raise DataError(
            f"Expected the names of the classes in {split.name} ({', '.join(classes)}) in any "
            f"order in --labels, got {', '.join(unknown)}; correct the option.",
            code="data-label-names",
        )
    # MNIST is evaluated for models of other labels only in the shape of a user's own data.
    images = split.images.reshape(*split.images.shape[:3], -1)
    return replace(split, images=images).aligned(tuple(labels))


def check(predictions: Sequence[Classes], labels: Classes, train: Split, sample: str) -> None:
    """Make sure that a model was trained with these labels.

    Args:
        predictions: the classes (n,) that the model predicts under each input range tried.
        labels: the true classes (n,) of these images.
        train: names the data and its classes.
        sample: names the images.

    Raises:
        DataError: the labels in another order fit far better.
        ModelError: no prediction is better than chance.
    """
    classes = train.classes
    predicted = max(predictions, key=lambda one: _accuracy(one, labels))
    accuracy = _accuracy(predicted, labels)
    orders = [best_order(one, labels, len(classes)) for one in predictions]
    pairs = zip(orders, predictions, strict=True)
    reordered, order = max((_accuracy(order[one], labels), tuple(order)) for order, one in pairs)
    if reordered - accuracy >= _GAIN and 1 - reordered <= _ERRORS_LEFT * (1 - accuracy):
        option = shlex.quote(",".join(classes[label] for label in order))
        raise DataError(
            f"Expected the classes of {train.name} in the order of the model's outputs, got "
            f"{', '.join(classes)}: accuracy {percent(accuracy)} on {sample}, and "
            f"{percent(reordered)} with --labels {option}; add that option.",
            code="data-label-order",
        )
    chance = _chance(predicted, labels, len(classes))
    standard_error = np.sqrt(chance * (1 - chance) / len(labels))
    if len(labels) >= _ENOUGH_IMAGES and accuracy <= chance + _STANDARD_ERRORS * standard_error:
        raise ModelError(
            f"Expected a model that reads {train.name} better than chance, got accuracy "
            f"{percent(accuracy)} on {sample}, where chance is {percent(chance)}; train it on "
            f"such images, with the classes in this order: {', '.join(classes)}.",
            code="model-chance",
        )


def best_order(predicted: Classes, labels: Classes, classes: int) -> NDArray[np.intp]:
    """Return the class (classes,) of each output, a permutation, that fits the labels best.

    Greedy: the most frequent pair of an output and a class first. Among equal ones an output
    keeps its class.
    """
    counts = np.zeros((classes, classes))
    np.add.at(counts, (predicted, labels), 1)
    counts += np.eye(classes) / 2
    order = np.empty(classes, np.intp)
    for _ in range(classes):
        output, label = np.unravel_index(counts.argmax(), counts.shape)
        order[output] = label
        counts[output], counts[:, label] = -1, -1
    return order


def _accuracy(predicted: Classes, labels: Classes) -> float:
    return float((predicted == labels).mean())


def _chance(predicted: Classes, labels: Classes, classes: int) -> float:
    """Return the accuracy of the same predictions in random order, as Cohen's kappa has it."""
    shares = (np.bincount(one, minlength=classes) / len(labels) for one in (predicted, labels))
    return float(np.dot(*shares))
