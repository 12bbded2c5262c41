"""Run every artifact through the device package, and hold it against Keras: the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist import backends
from edge_mnist.bundle import Artifact
from edge_mnist.datasets import Split
from edge_mnist.errors import GateError
from edge_mnist.evaluation import evaluate
from edge_mnist.tables import percent, table

from .training import scale


@dataclass(frozen=True)
class Reference:
    """What Keras answers on the test set: `probabilities` (n, 10) float32."""

    split: Split
    probabilities: NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """The fraction that Keras reads rightly, in [0, 1]."""
        return float((self.probabilities.argmax(axis=1) == self.split.labels).mean())


@dataclass(frozen=True)
class Verdict:
    """How one artifact did on the test set.

    `accuracy` and `agreement` (same digit as Keras) are fractions of the images; `drop` is
    Keras's accuracy less the artifact's, in percentage points; `max_probability_error` is the
    largest absolute difference of any probability from Keras's.
    """

    artifact: Artifact
    backend: str
    accuracy: float
    drop: float
    agreement: float
    max_probability_error: float


def reference(model: Any, split: Split) -> Reference:
    """Run Keras on the test set."""
    return Reference(split, model.predict(scale(split.images), batch_size=512, verbose=0))


def verify(artifact: Artifact, keras: Reference) -> Verdict:
    """Run an artifact on the preferred runtime for its format, as a device would."""
    runtime = backends.installed(artifact.format)[0]
    result = evaluate(artifact, runtime, keras.split)
    same = result.probabilities.argmax(axis=1) == keras.probabilities.argmax(axis=1)
    return Verdict(
        artifact,
        runtime.backend,
        accuracy=result.accuracy,
        drop=(keras.accuracy - result.accuracy) * 100,
        agreement=float(same.mean()),
        max_probability_error=float(np.abs(result.probabilities - keras.probabilities).max()),
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
        ]
        for verdict in verdicts
    ]
    header = ("precision", "format", "size (bytes)", "accuracy", "drop (points)", "agreement")
    return (
        f"{keras.split.name}, {len(keras.split.images):,} images; "
        f"Keras {percent(keras.accuracy)}\n\n{table(header, rows)}"
    )


def gate(verdicts: Sequence[Verdict], *, max_drop: float) -> None:
    """Refuse a bundle in which a file lost more than `max_drop` percentage points.

    Raises:
        GateError: names the files that failed.
    """
    # A thousandth of a point: less than one image in 10,000, more than float rounding.
    failed = [v for v in verdicts if v.drop > max_drop + 1e-3]
    if failed:
        names = ", ".join(f"{v.artifact.path.name} ({v.drop:.2f})" for v in failed)
        raise GateError(
            f"Expected a drop of at most {max_drop:g} points, got more in {names}; "
            f"no bundle was written. Allow more with --max-drop."
        )
