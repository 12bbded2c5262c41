"""A Keras model and training images in, its model spec out; what is unknown is tried.

A user's own model does not state how it takes pixels, nor whether it ends in a softmax. Accuracy
on training images under each usual input range tells the first, and the outputs tell the second.
What the user or a run states is checked in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec, Scaling
from edge_mnist.datasets import Split
from edge_mnist.errors import DataError, ModelError
from edge_mnist.foreign_models import scaling_search
from edge_mnist.system.text_table import percent

from ..data.model_input import as_input
from ..frameworks import predict
from . import label_order
from .converter import Report
from .source_model import SourceModel

# Usual input ranges, the commonest first: among ranges that fit equally well the first is taken.
_RANGES = {
    "0 to 1": Scaling.between(0, 1),
    "0 to 255": Scaling.between(0, 255),
    "-1 to 1": Scaling.between(-1, 1),
}
# A range is wrong if another one gains this accuracy, as a fraction, and so many standard errors.
_WRONG_RANGE_LOSS = 0.05
_STANDARD_ERRORS = 3
# Greatest deviation of a sum of probabilities from 1. It is far above the float32 rounding of a
# softmax, and no row of logits meets it by chance.
_SUM_TOLERANCE = 1e-3


def check_data(model: Any, train: Split) -> None:
    """Make sure that images and classes of the data are those of the Keras model.

    Raises:
        DataError: another size, or another number of classes.
    """
    shape, classes = tuple(model.inputs[0].shape[1:]), model.outputs[0].shape[1]
    image_shape = (*train.images.shape[1:], 1)[:3]
    if image_shape != shape or len(train.classes) != classes:
        raise DataError(
            f"Expected images of shape {shape} of {classes} classes for this model, got "
            f"{image_shape} of {len(train.classes)} in {train.name}; give its data with --data.",
            code="data-model-mismatch",
        )


def with_softmax(model: Any, train: Split) -> Any:
    """Return the Keras model, followed by a softmax if its outputs are logits.

    Raises:
        ModelError: the outputs are neither probabilities nor logits.
    """
    import keras

    outputs = predict(model, as_input(_sample(train)[0]))
    if not np.isfinite(outputs).all():
        raise ModelError(
            "Expected finite outputs of the model, got NaN or infinity; train it again.",
            code="model-output-finite",
        )
    if (outputs >= 0).all() and abs(outputs.sum(axis=1) - 1).max() < _SUM_TOLERANCE:
        return model
    if outputs.min() >= 0 and outputs.max() <= 1 and np.ptp(outputs) > 0:
        raise ModelError(
            "Expected probabilities that sum to 1, or logits, got scores in 0…1 that are neither; "
            "end the model in a softmax, not a sigmoid.",
            code="model-output-scores",
        )
    inputs = keras.Input(model.inputs[0].shape[1:], name="image")
    return keras.Model(inputs, keras.layers.Softmax()(model(inputs)), name=model.name)


def infer_spec(model: Any, source_model: SourceModel, train: Split, *, report: Report) -> ModelSpec:
    """Return the model's spec: its size, its labels, and how it takes pixels.

    Args:
        model: the Keras model, whose outputs are probabilities.
        source_model: states the scaling of a run's model, or the one that the user asked for.
        train: labelled images to try input ranges on, with classes in the order of the outputs.
        report: takes a line on an inferred range.

    Raises:
        DataError: the classes have another order than the outputs.
        ModelError: the model is no better than chance, or another range than the one asked for
            fits clearly better.
    """
    scaling = source_model.scaling
    # A run states the scaling of its model, and the data it was trained on.
    if source_model.weights_sha256 is None or scaling != Scaling():
        scaling = _fitting_scaling(model, scaling, train, report)
    height, width, channels = model.inputs[0].shape[1:]
    return ModelSpec(height, width, channels, scaling, source_model.labels or train.classes)


def _fitting_scaling(model: Any, asked: Scaling | None, train: Split, report: Report) -> Scaling:
    """Return the scaling asked for, or infer it; check that model and labelled images fit."""
    scalings = {**({"asked": asked} if asked else {}), **_RANGES}
    images, labels = _sample(train)
    outputs = {
        scaling: predict(model, as_input(images, scaling))
        for scaling in dict.fromkeys(scalings.values())
    }
    predictions = {scaling: output.argmax(axis=1) for scaling, output in outputs.items()}
    label_order.check(list(predictions.values()), labels, train, _sample_name(train))
    found = scaling_search.search(scalings, outputs.__getitem__, labels)
    if asked is None:
        report(_inferred_text(found, train))
        return _RANGES[found.chosen]
    best = scalings[found.chosen]
    _check_scaling(asked, best, predictions[asked] == labels, predictions[best] == labels, train)
    return asked


def _inferred_text(found: scaling_search.SearchResult, train: Split) -> str:
    tried = ", ".join(f"{name}: {percent(score.accuracy)}" for name, score in found.scores.items())
    return (
        f"Inferred input range {found.chosen}, by accuracy on {_sample_name(train)}: {tried}. "
        f"--input-range overrides it."
    )


def _check_scaling(
    asked: Scaling,
    best: Scaling,
    asked_right: NDArray[np.bool_],
    best_right: NDArray[np.bool_],
    train: Split,
) -> None:
    """Raise ModelError if another scaling than the one asked for reads clearly more images."""
    gain = float(best_right.mean() - asked_right.mean())
    # Of a paired difference: images that both read or both misread do not count.
    standard_error = np.sqrt((best_right != asked_right).sum()) / len(best_right)
    if gain > max(_WRONG_RANGE_LOSS, _STANDARD_ERRORS * standard_error):
        raise ModelError(
            f"Expected the range of pixels that this model was trained on, got --input-range "
            f"{_range_text(asked)}: accuracy {percent(float(asked_right.mean()))} on "
            f"{_sample_name(train)}, and {percent(float(best_right.mean()))} with --input-range "
            f"{_range_text(best)}; give that, or leave the option out.",
            code="model-input-range",
        )


def _range_text(scaling: Scaling) -> str:
    return f"{scaling.value(0):g},{scaling.value(255):g}"


def _sample(train: Split) -> tuple[NDArray[np.uint8], NDArray[np.unsignedinteger]]:
    sample = train.sample(scaling_search.SAMPLE)
    return sample.images, sample.labels


def _sample_name(train: Split) -> str:
    return f"{min(scaling_search.SAMPLE, len(train.images))} images of {train.name}"
