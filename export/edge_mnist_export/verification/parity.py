"""Run every artifact through the device package, and hold it against Keras."""

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
from .gate import Verdict, tolerance


@dataclass(frozen=True)
class Reference:
    """What Keras answers on the test set: `probabilities` (n, 10) float32.

    `weight_errors` is, by precision, the largest change of a probability when Keras runs with its
    weights rounded so.
    """

    split: Split
    probabilities: NDArray[np.float32]
    weight_errors: Mapping[str, float]

    @property
    def accuracy(self) -> float:
        """The fraction that Keras reads rightly, in [0, 1]."""
        return float((self.probabilities.argmax(axis=1) == self.split.labels).mean())


def reference(model: Any, split: Split, scaling: Scaling) -> Reference:
    """Run Keras on the test set: as it is, and with its weights rounded."""
    images = as_input(split.images, scaling)
    weights = model.get_weights()
    probabilities = model.predict(images, batch_size=256, verbose=0)
    errors: dict[str, float] = {}
    for rounded, precisions in _ROUNDINGS.items():
        model.set_weights([rounded(weight) for weight in weights])
        off = model.predict(images, batch_size=256, verbose=0) - probabilities
        errors |= dict.fromkeys(precisions, float(np.abs(off).max()))
    model.set_weights(weights)
    return Reference(split, probabilities, errors)


def _half(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    return weight.astype(np.float16).astype(np.float32)


def _eight_bits(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a kernel in 255 steps about 0; biases and the like keep 32 bits."""
    if weight.ndim < 2:
        return weight
    step = max(float(np.abs(weight).max()), 1e-12) / 127
    return (np.rint(weight / step) * step).astype(np.float32)


def _last_bit(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a weight off by half its last bit, up and down in turn."""
    signs = np.where(np.arange(weight.size) % 2, 1, -1).reshape(weight.shape)
    return (weight * (1 + signs * 2.0**-23)).astype(np.float32)


_ROUNDINGS = {
    _last_bit: ("float32",),
    _half: ("float16",),
    _eight_bits: ("dynamic", "int8"),
}


def verify(artifact: Artifact, keras: Reference) -> Verdict:
    """Run an artifact on the preferred runtime for its format, as a device would."""
    runtime = backends.installed(artifact.format)[0]
    result = evaluate(artifact, runtime, keras.split)
    digits = result.probabilities.argmax(axis=1)
    differs = digits != keras.probabilities.argmax(axis=1)
    errors = np.abs(result.probabilities - keras.probabilities)
    return Verdict(
        artifact,
        runtime.backend,
        accuracy=result.accuracy,
        drop=(keras.accuracy - result.accuracy) * 100,
        agreement=1 - float(differs.mean()),
        max_probability_error=float(errors.max()),
        mean_probability_error=float(errors.mean()),
        tolerance=tolerance(
            artifact.precision, weight_error=keras.weight_errors[artifact.precision]
        ),
        differing=tuple(int(index) for index in np.flatnonzero(differs)),
        digits=digits,
    )


def text(verdicts: Sequence[Verdict], keras: Reference) -> str:
    """Return the table that the export prints."""
    rows = [
        [
            verdict.artifact.precision,
            verdict.artifact.format,
            f"{verdict.artifact.size_bytes:,}",
            percent(verdict.accuracy),
            f"{verdict.drop:+.2f}",
            percent(verdict.agreement),
            f"{verdict.max_probability_error:.1e} of {verdict.tolerance:.0e}",
        ]
        for verdict in verdicts
    ]
    header = (
        "precision",
        "format",
        "size (bytes)",
        "accuracy",
        "drop (points)",
        "agreement",
        "largest error",
    )
    return (
        f"{keras.split.name}, {len(keras.split.images):,} images; "
        f"Keras {percent(keras.accuracy)}\n\n{table(header, rows)}"
    )
