"""A model and labelled images in; all figures of a report out: measured here, now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import datasets
from ..backends import Runtime
from ..backends.selection import choose, pairs
from ..benchmark.plan import make_plan
from ..benchmark.suite import run as run_benchmark
from ..bundle import Artifact
from ..classifier import Classifier
from ..datasets import Split
from ..errors import ModelError
from ..evaluation import Evaluation
from ..evaluation.accuracy import evaluate_all
from ..evaluation.calibration import Bin, accuracy_interval, reliability
from ..evaluation.foreign_scaling import settle_scalings
from .inspect import inspect
from .layer import Inspection
from .run_folder import Subject

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Misread images that are shown, the most confident first.
MOST_MISREAD = 40
# Draws how much is done, in [0, 1], with the name of the current step.
Show = Callable[[float, str], None]


@dataclass(frozen=True)
class Misread:
    """A misread image.

    Attributes:
        number: its position in the data.
        image: uint8 (h, w) or (h, w, channels).
        read, true: the label read and the true one, each with its probability.
    """

    number: int
    image: NDArray[np.uint8]
    read: tuple[str, float]
    true: tuple[str, float]


@dataclass(frozen=True)
class Report:
    """All figures of a report.

    Attributes:
        subject: the model.
        artifact: the file that the detailed sections are of: the one that `predict` would use.
        data: the name of the test data.
        results: the evaluation of every file in every runtime.
        detailed: that of `artifact`.
        misread: its misread images, the most confident first, at most MOST_MISREAD.
        bins: its reliability.
        benchmark: the document of a benchmark; None if nothing could be measured.
        inspection: its layers.
        remarks: sentences on what could not be measured.
    """

    subject: Subject
    artifact: Artifact
    data: str
    results: tuple[Evaluation, ...]
    detailed: Evaluation
    misread: tuple[Misread, ...]
    bins: tuple[Bin, ...]
    benchmark: dict[str, Any] | None
    inspection: Inspection
    remarks: tuple[str, ...]

    def interval(self, result: Evaluation) -> tuple[float, float]:
        """Return the 95 % interval of the accuracy of one result."""
        return accuracy_interval(result.images - result.errors, result.images)


def measure(
    subject: Subject, *, data: str, limit: int | None, backend: str | None, show: Show
) -> Report:
    """Evaluate, benchmark and inspect a model.

    Args:
        subject: the model.
        data: as for `datasets.find`.
        limit: only the first images.
        backend: only this runtime; None for all that are installed.
        show: called with the share of the work that is done, and the current step.

    Raises:
        DataError, ModelError, BackendError: as `evaluate`.
    """
    best = choose(subject.artifacts, backend=backend)
    source = datasets.find(data, splits=("test",), own=True)
    size = Classifier.from_artifact(*best).spec.size
    split = datasets.load(source, "test", limit=limit, shape=size)
    jobs, _ = settle_scalings(list(pairs(subject.artifacts, backend)), source, split)
    results, remarks = _evaluate(jobs, split, lambda done, step: show(0.4 * done, step))
    preferred = best[0].path, best[1].backend
    detailed = next((r for r in results if (r.artifact.path, r.backend) == preferred), results[0])
    runtime = next(r for a, r in jobs if a is detailed.artifact and r.backend == detailed.backend)
    document = _benchmark(jobs, remarks, lambda done, step: show(0.4 + 0.5 * done, step))
    show(0.9, f"layers of {detailed.artifact.name}")
    labels = split.aligned(detailed.labels).labels
    return Report(
        subject,
        detailed.artifact,
        split.name,
        tuple(results),
        detailed,
        tuple(find_misread(detailed, split.images, labels)),
        tuple(reliability(detailed.probabilities, labels)),
        document,
        inspect(detailed.artifact, runtime),
        tuple(remarks),
    )


def _evaluate(
    jobs: Sequence[tuple[Artifact, Runtime]], split: Split, show: Show
) -> tuple[list[Evaluation], list[str]]:
    """Return the results, and a sentence for each file that cannot be run; raise if none can."""
    results, failures = evaluate_all(jobs, split, lambda done, step: show(done, f"evaluate {step}"))
    return results, [f"Not evaluated: {failure}" for failure in failures]


def _benchmark(
    jobs: Sequence[tuple[Artifact, Runtime]], remarks: list[str], show: Show
) -> dict[str, Any] | None:
    plan = make_plan(quick=True, rows=len(jobs))
    try:
        return run_benchmark([(*job, 1) for job in jobs], plan=plan, show=show)
    except ModelError as error:
        remarks.append(f"Latency was not measured: {error}")
        return None


def find_misread(
    result: Evaluation,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    *,
    most: int = MOST_MISREAD,
) -> list[Misread]:
    """Return the misread images, the most confident mistakes first.

    Args:
        result: the evaluation of these images.
        images: (n, …) uint8.
        labels: (n,), the true labels.
        most: how many at most.
    """
    read = result.probabilities.argmax(axis=1)
    confidence = result.probabilities.max(axis=1)
    wrong = np.flatnonzero(read != labels)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    return [
        Misread(
            int(number),
            images[number],
            (result.labels[read[number]], float(confidence[number])),
            (
                result.labels[labels[number]],
                float(result.probabilities[number, labels[number]]),
            ),
        )
        for number in order
    ]
