"""Accuracy of model files on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..backends import Runtime
from ..bundle import Artifact
from ..classifier import Classifier
from ..errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..datasets import Split
    from ..system.progress import Show

# Images that are resized at once: a model of another size may take large ones.
_CHUNK = 500


@dataclass(frozen=True)
class Evaluation:
    """The result of one file in one runtime.

    Attributes:
        artifact: the file.
        backend: the runtime's name.
        probabilities: (n, classes) float32.
        confusion: (classes, classes) counts: row the true label, column the label read.
        labels: the model's labels, one for each column.
    """

    artifact: Artifact
    backend: str
    probabilities: NDArray[np.float32]
    confusion: NDArray[np.int64]
    labels: tuple[str, ...]

    @property
    def images(self) -> int:
        """The number of images."""
        return len(self.probabilities)

    @property
    def errors(self) -> int:
        """The number of misread images."""
        return self.images - int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """The fraction of images read correctly, in [0, 1]."""
        return 1 - self.errors / self.images


def evaluate(artifact: Artifact, runtime: Runtime, split: Split) -> Evaluation:
    """Run every image of a split through one file in one runtime.

    If the split has the model's classes in another order, as folders do, names decide.

    Raises:
        ModelError: the file cannot be loaded, or its classes are not those of the data.
    """
    classifier = Classifier.from_artifact(artifact, runtime)
    check_classes(classifier, split.classes, data=split.name)
    split = split.aligned(classifier.labels)
    probabilities = classify(classifier, split.images)
    labels = classifier.spec.labels
    confusion = confusion_matrix(split.labels, probabilities.argmax(axis=1), classes=len(labels))
    return Evaluation(artifact, runtime.backend, probabilities, confusion, labels)


def check_classes(classifier: Classifier, classes: Sequence[str], *, data: str) -> None:
    """Check that a model has as many classes as the data.

    Raises:
        ModelError: it has more or fewer.
    """
    if len(classifier.spec.labels) != len(classes):
        raise ModelError(
            f"Expected a model of {len(classes)} classes for {data}, got "
            f"{classifier.artifact.name} with {len(classifier.spec.labels)}; choose other --data "
            f"or another model.",
            code="model-classes",
        )


def classify(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities (n, classes) of a data set's images.

    Args:
        classifier: the model.
        images: MNIST images (n, 28, 28), which are brought to the model's size; or a user's own
            images (n, h, w, c), which have that size and the model's own classes.

    Raises:
        ModelError: MNIST images, and the model's labels are not the digits.
    """
    spec = classifier.spec
    if images.ndim == 4:
        return classifier.predict_probabilities(images)
    if spec.labels != tuple(map(str, range(len(spec.labels)))):
        raise ModelError(
            f"Expected the labels 0, 1, … to evaluate on digits, got "
            f"{', '.join(spec.labels[:3])}, … in {classifier.artifact.name}; give the "
            f"model's own data with --data.",
            code="model-labels",
        )
    if spec.shape == images.shape[1:]:
        return classifier.predict_probabilities(images)
    # Imported late: Pillow is needed only to resize.
    from ..vision.preprocess import fit

    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    return np.concatenate([classifier.predict_probabilities(fit(c, spec)) for c in chunks])


def classify_pictures(
    classifier: Classifier, pictures: Iterable[tuple[str, str, object]]
) -> dict[str, tuple[int, int, int]]:
    """Run whole pictures through `Classifier.predict`.

    Args:
        classifier: the model.
        pictures: tuples of a condition's name, the true digit as text, and the picture.

    Returns:
        For each condition the number of pictures, of those read correctly, and of those rejected.
        A rejected picture does not count as read correctly.
    """
    counts: dict[str, tuple[int, int, int]] = {}
    for condition, text, picture in pictures:
        digit = classifier.predict(picture).digit  # type: ignore[arg-type]
        count, correct, rejected = counts.get(condition, (0, 0, 0))
        counts[condition] = count + 1, correct + (str(digit) == text), rejected + (digit is None)
    return counts


def confusion_matrix(
    labels: NDArray[np.integer], digits: NDArray[np.integer], *, classes: int = 10
) -> NDArray[np.int64]:
    """Return counts (classes, classes): row the true label, column the label read."""
    # bincount takes integers of the machine's own width, which is 32 bits on a 32-bit Pi.
    cells = labels.astype(np.intp) * classes + digits.astype(np.intp)
    counts = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    return counts.astype(np.int64)


def evaluate_all(
    pairs: Sequence[tuple[Artifact, Runtime]], split: Split, show: Show
) -> tuple[list[Evaluation], list[ModelError]]:
    """Return the results of all pairs, and the errors of those that cannot be run.

    `show` takes the fraction that is done, in [0, 1], and the current step.

    Raises:
        ModelError: none can be run.
    """
    results, failures = [], []
    for number, (artifact, runtime) in enumerate(pairs):
        show(number / len(pairs), f"{artifact.name} on {runtime.backend}")
        try:
            results.append(evaluate(artifact, runtime, split))
        except ModelError as error:
            failures.append(error)
    if not results:
        raise failures[0]
    return results, failures
