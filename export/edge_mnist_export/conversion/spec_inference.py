"""A Keras model and training images in, its model spec out; what is unknown is tried.

A user's own model does not state how it takes pixels, nor whether it ends in a softmax. Accuracy
on training images under each usual input range tells the first, and the outputs tell the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec, Scaling
from edge_mnist.datasets import Split
from edge_mnist.errors import DataError, ModelError
from edge_mnist.foreign_models import scaling_search
from edge_mnist.system.text_table import percent

from ..data.model_input import as_input
from .converter import Report
from .source_model import SourceModel

# Usual input ranges, the commonest first: among ranges that fit equally well the first is taken.
_RANGES = {
    "0 to 1": Scaling.between(0, 1),
    "0 to 255": Scaling.between(0, 255),
    "-1 to 1": Scaling.between(-1, 1),
}
# Loss of accuracy, as a fraction, that only a wrong input range explains.
_WRONG_RANGE_LOSS = 0.2
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

    outputs = model.predict(as_input(_sample(train)[0]), verbose=0)
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
        train: labelled images to try input ranges on.
        report: takes a line on an inferred range.

    Raises:
        ModelError: another range than the one asked for fits far better.
    """
    scaling = source_model.scaling
    if scaling is None:
        scaling = _infer_scaling(model, train, report)
    elif source_model.weights_sha256 is None:
        _check_scaling(model, scaling, train)
    height, width, channels = model.inputs[0].shape[1:]
    return ModelSpec(height, width, channels, scaling, train.classes)


def _infer_scaling(model: Any, train: Split, report: Report) -> Scaling:
    found = _try_scalings(model, train, _RANGES)
    tried = ", ".join(f"{name}: {percent(score.accuracy)}" for name, score in found.scores.items())
    report(
        f"Inferred input range {found.chosen}, by accuracy on {_sample_name(train)}: {tried}. "
        f"--input-range overrides it."
    )
    return _RANGES[found.chosen]


def _check_scaling(model: Any, scaling: Scaling, train: Split) -> None:
    """Raise ModelError if pixels would be scaled twice, or not at all."""
    found = _try_scalings(model, train, {"asked": scaling, **_RANGES})
    best, asked = (found.scores[name].accuracy for name in (found.chosen, "asked"))
    if best - asked > _WRONG_RANGE_LOSS:
        low, high = scaling.value(0), scaling.value(255)
        raise ModelError(
            f"Expected the range of pixels that this model was trained on, got --input-range "
            f"{low:g},{high:g}: accuracy {percent(asked)} on "
            f"{_sample_name(train)}, and {percent(best)} with {found.chosen}. Does the "
            f"model scale pixels itself, or not at all? Leave --input-range out, or give that.",
            code="model-input-range",
        )


def _try_scalings(
    model: Any, train: Split, scalings: Mapping[str, Scaling]
) -> scaling_search.SearchResult:
    images, labels = _sample(train)
    return scaling_search.search(
        scalings, lambda scaling: model.predict(as_input(images, scaling), verbose=0), labels
    )


def _sample(train: Split) -> tuple[NDArray[np.uint8], NDArray[np.unsignedinteger]]:
    """Return images and labels in random order, because folders are sorted by class."""
    order = np.random.default_rng(0).permutation(len(train.images))[: scaling_search.SAMPLE]
    return train.images[order], train.labels[order]


def _sample_name(train: Split) -> str:
    return f"{min(scaling_search.SAMPLE, len(train.images))} images of {train.name}"
