"""Run every artifact through the device package, and hold it against Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist import backends
from edge_mnist.bundle import Artifact
from edge_mnist.contract import Scaling
from edge_mnist.datasets import Split
from edge_mnist.evaluation import evaluate
from edge_mnist.tables import percent, table

from .gate import Verdict, tolerance
from .pixels import as_input


@dataclass(frozen=True)
class Reference:
    """What Keras answers on the test set: `probabilities` (n, 10) float32.

    `layers` is how many layers of the model have weights.
    """

    split: Split
    probabilities: NDArray[np.float32]
    layers: int

    @property
    def accuracy(self) -> float:
        """The fraction that Keras reads rightly, in [0, 1]."""
        return float((self.probabilities.argmax(axis=1) == self.split.labels).mean())

    @property
    def logit_range(self) -> float:
        """The widest spread of one image's logits, as far as the probabilities tell.

        Softmax keeps the differences of logits as differences of log-probabilities.
        """
        tiny = np.finfo(np.float32).tiny
        logs = np.log(np.maximum(self.probabilities.astype(np.float64), tiny))
        return float(np.ptp(logs, axis=1).max())


def reference(model: Any, split: Split, scaling: Scaling) -> Reference:
    """Run Keras on the test set."""
    probabilities = model.predict(as_input(split.images, scaling), batch_size=256, verbose=0)
    layers = len({weight.path.rpartition("/")[0] for weight in model.trainable_weights})
    return Reference(split, probabilities, layers)


def verify(artifact: Artifact, keras: Reference) -> Verdict:
    """Run an artifact on the preferred runtime for its format, as a device would."""
    runtime = backends.installed(artifact.format)[0]
    result = evaluate(artifact, runtime, keras.split)
    differs = result.probabilities.argmax(axis=1) != keras.probabilities.argmax(axis=1)
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
            artifact.precision,
            logit_range=keras.logit_range,
            layers=keras.layers,
            images=len(keras.split.images),
        ),
        differing=tuple(int(index) for index in np.flatnonzero(differs)),
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
