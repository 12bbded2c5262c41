"""Accuracy of model files on labelled images, and where they go wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import backends
from .bundle import Artifact
from .classifier import Classifier, choose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .datasets import Split


@dataclass(frozen=True)
class Evaluation:
    """How one file did in one runtime.

    `probabilities` is (n, 10) float32; `confusion` is (10, 10) counts, rows the true digit,
    columns the digit read.
    """

    artifact: Artifact
    backend: str
    probabilities: NDArray[np.float32]
    confusion: NDArray[np.int64]

    @property
    def images(self) -> int:
        """How many images were read."""
        return len(self.probabilities)

    @property
    def errors(self) -> int:
        """How many were misread."""
        return self.images - int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """The fraction read rightly, in [0, 1]."""
        return 1 - self.errors / self.images


def evaluate(artifact: Artifact, runtime: backends.Runtime, split: Split) -> Evaluation:
    """Run every image of a split through one file in one runtime."""
    classifier = Classifier.from_artifact(artifact, runtime)
    probabilities = classifier.predict_probabilities(split.images)
    confusion = confusion_matrix(split.labels, probabilities.argmax(axis=1))
    return Evaluation(artifact, runtime.backend, probabilities, confusion)


def pairs(
    artifacts: Sequence[Artifact], backend: str | None
) -> Iterator[tuple[Artifact, backends.Runtime]]:
    """Yield every artifact with every installed runtime that takes it, or with `backend` alone.

    Raises:
        BackendError, ModelError: as `choose`, where there would be none.
    """
    choose(artifacts, backend=backend)
    for artifact in artifacts:
        for runtime in backends.installed(artifact.format):
            if backend in (None, runtime.backend):
                yield artifact, runtime


def confusion_matrix(labels: NDArray[np.integer], digits: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return (10, 10) counts: row the true digit, column the digit read."""
    return np.bincount(labels.astype(np.int64) * 10 + digits, minlength=100).reshape(10, 10)
