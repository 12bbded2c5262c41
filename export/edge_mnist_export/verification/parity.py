"""A Keras model and artifacts in, their differences on the test set out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist import backends
from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import Scaling
from edge_mnist.datasets import Split
from edge_mnist.evaluation import evaluate
from edge_mnist.system.text_table import percent, table

from ..data.model_input import as_input
from ..frameworks import predict
from .gate import VerifiedFile, tolerance

HEADER = (
    *("precision", "format", "size (bytes)", "accuracy", "drop (points)", "agreement"),
    "largest error",
)


@dataclass(frozen=True)
class Reference:
    """Keras's own outputs on the test set.

    Attributes:
        split: the test set.
        probabilities: (n, classes) float32.
        weight_errors: by precision, the greatest change of a probability when Keras runs with its
            weights rounded to the steps of that precision.
    """

    split: Split
    probabilities: NDArray[np.float32]
    weight_errors: Mapping[str, float]

    @property
    def accuracy(self) -> float:
        """The fraction of the labels that Keras predicts."""
        return float((self.probabilities.argmax(axis=1) == self.split.labels).mean())


def reference(model: Any, split: Split, scaling: Scaling) -> Reference:
    """Run Keras on the test set: as it is, and with its weights rounded."""
    images = as_input(split.images, scaling)
    weights = model.get_weights()
    probabilities = predict(model, images, batch_size=256)
    errors: dict[str, float] = {}
    for rounded, precisions in _ROUNDINGS.items():
        model.set_weights([rounded(weight) for weight in weights])
        changes = predict(model, images, batch_size=256) - probabilities
        errors |= dict.fromkeys(precisions, float(np.abs(changes).max()))
    model.set_weights(weights)
    return Reference(split, probabilities, errors)


def _to_float16(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    return weight.astype(np.float16).astype(np.float32)


def _to_int8(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round a kernel to 255 steps about 0; vectors, such as biases, keep 32 bits."""
    if weight.ndim < 2:
        return weight
    step = max(float(np.abs(weight).max()), 1e-12) / 127
    return (np.rint(weight / step) * step).astype(np.float32)


def _to_half_bit(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change weights by half of their last bit, alternately up and down."""
    signs = np.where(np.arange(weight.size) % 2, 1, -1).reshape(weight.shape)
    return (weight * (1 + signs * 2.0**-23)).astype(np.float32)


_ROUNDINGS = {
    _to_half_bit: ("float32",),
    _to_float16: ("float16",),
    _to_int8: ("dynamic", "int8"),
}


def verify(artifact: Artifact, requirements: Mapping[str, Any], keras: Reference) -> VerifiedFile:
    """Run an artifact on the test set, in the preferred runtime for its format, as a device does.

    `requirements` are copied into the result.
    """
    runtime = backends.installed(artifact.format)[0]
    result = evaluate(artifact, runtime, keras.split)
    predicted, expected = (p.argmax(axis=1) for p in (result.probabilities, keras.probabilities))
    differs, labels = predicted != expected, keras.split.labels
    errors = np.abs(result.probabilities - keras.probabilities)
    weight_error = keras.weight_errors[artifact.precision]
    return VerifiedFile(
        artifact,
        requirements,
        runtime.backend,
        accuracy=result.accuracy,
        drop=(keras.accuracy - result.accuracy) * 100,
        changed=int(((predicted == labels) != (expected == labels)).sum()),
        agreement=1 - float(differs.mean()),
        max_probability_error=float(errors.max()),
        mean_probability_error=float(errors.mean()),
        tolerance=tolerance(artifact.precision, weight_error=weight_error),
        differing=tuple(int(index) for index in np.flatnonzero(differs)),
        predicted=predicted,
    )


def text(files: Sequence[VerifiedFile], keras: Reference) -> str:
    """Return the table that the export prints, one row per file."""
    rows = [
        [
            file.artifact.precision,
            file.artifact.format,
            f"{file.artifact.size_bytes:,}",
            percent(file.accuracy),
            f"{file.drop:+.2f}",
            percent(file.agreement),
            f"{file.max_probability_error:.1e} of {file.tolerance:.0e}",
        ]
        for file in files
    ]
    return (
        f"{keras.split.name}, {len(keras.split.images):,} images; "
        f"Keras {percent(keras.accuracy)}\n\n{table(HEADER, rows)}"
    )
