"""Accuracy of model files on labelled images, and where they go wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import backends
from ..bundle import Artifact
from ..classifier import Classifier, choose
from ..errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_mnist_export.data.drawn_photographs import Drawn

    from ..datasets import Split

_PART = 500


@dataclass(frozen=True)
class Evaluation:
    """How one file did in one runtime.

    `probabilities` is (n, 10) float32; `confusion` is (10, 10) counts, rows the true digit,
    columns the digit read. Models of more classes have as many columns.
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
    """Run every image of a split through one file in one runtime.

    Raises:
        ModelError: the file's labels are not the digits.
    """
    classifier = Classifier.from_artifact(artifact, runtime)
    probabilities = read(classifier, split.images)
    confusion = confusion_matrix(
        split.labels, probabilities.argmax(axis=1), classes=probabilities.shape[1]
    )
    return Evaluation(artifact, runtime.backend, probabilities, confusion)


def read(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return probabilities (n, classes) of MNIST images (n, 28, 28), fitted to the model's size.

    A user's own images, (n, h, w, c), are of that size already, and of the model's own classes.

    Raises:
        ModelError: the file's labels are not the digits.
    """
    spec = classifier.spec
    if images.ndim == 4:
        return classifier.predict_probabilities(images)
    if spec.labels != tuple(map(str, range(len(spec.labels)))):
        raise ModelError(
            f"Expected the labels 0, 1, … to evaluate on digits, got "
            f"{', '.join(spec.labels[:3])}, … in {classifier.artifact.path.name}."
        )
    if spec.shape == images.shape[1:]:
        return classifier.predict_probabilities(images)
    # Pillow is needed only to resize; in parts, because the resized images may be large.
    from ..vision.preprocess import fit

    parts = [images[start : start + _PART] for start in range(0, len(images), _PART)]
    return np.concatenate([classifier.predict_probabilities(fit(p, spec)) for p in parts])


def read_pictures(
    classifier: Classifier, pictures: Iterable[Drawn]
) -> dict[str, tuple[int, int, int]]:
    """Return, for each condition, how many pictures there were, were read rightly, were refused.

    Each goes through the whole of `Classifier.predict`. A refused one is not read rightly.
    """
    counts: dict[str, tuple[int, int, int]] = {}
    for condition, text, picture in pictures:
        digit = classifier.predict(picture).digit
        count, right, refused = counts.get(condition, (0, 0, 0))
        counts[condition] = count + 1, right + (str(digit) == text), refused + (digit is None)
    return counts


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


def confusion_matrix(
    labels: NDArray[np.integer], digits: NDArray[np.integer], *, classes: int = 10
) -> NDArray[np.int64]:
    """Return (10, 10) counts, or more of more classes: row the true label, column the one read."""
    columns = max(10, classes)
    rows = max(10, int(labels.max()) + 1)
    # bincount takes nothing wider than the machine's own integers, which a 32-bit Pi has half of.
    cells = labels.astype(np.intp) * columns + digits.astype(np.intp)
    counts = np.bincount(cells, minlength=rows * columns).reshape(rows, columns)
    return counts.astype(np.int64)
