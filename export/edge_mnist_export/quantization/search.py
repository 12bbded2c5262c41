"""Quantization by measurement: ways of making int8 are tried on images training never saw.

First every way of taking an activation's range, with a scale per channel of the weights and with
one per tensor, on all calibration images; then the best of them on fewer images. Where several
do alike the first, which is the plainest, is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_mnist import backends
from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.classifier import Classifier
from edge_mnist.datasets import Split
from edge_mnist.evaluation import classify

from .ranges import METHODS

# Of fewer validation images than these chance would choose.
LEAST_IMAGES = 100
# Errors less than this apart are alike.
_ALIKE = 1.05


@dataclass(frozen=True)
class Scheme:
    """A way of making int8: how ranges are taken, from how many images, and scales of weights."""

    images: int
    method: str = "min-max"
    per_channel: bool = True


@dataclass(frozen=True)
class Result:
    """How a file did on the validation images.

    `agreement` with Keras's digits and `accuracy` are fractions; `mean_probability_error` is the
    mean absolute difference of a probability from Keras's.
    """

    accuracy: float
    agreement: float
    mean_probability_error: float


@dataclass(frozen=True)
class Trial:
    """A scheme, and its result in each format."""

    scheme: Scheme
    results: Mapping[str, Result]

    @property
    def error(self) -> float:
        """The mean probability error over the formats."""
        return fmean(result.mean_probability_error for result in self.results.values())


@dataclass(frozen=True)
class Study:
    """The scheme chosen, and what was tried; nothing where there were too few images to choose."""

    chosen: Scheme
    trials: Sequence[Trial] = ()


class Quantizer(Protocol):
    """A model of one format on its way to int8."""

    def quantize(self, scheme: Scheme) -> bytes:
        """Return the int8 file."""
        ...


def study(
    quantizers: Mapping[str, Quantizer],
    validation: Split,
    keras: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    spec: ModelSpec,
    counts: Sequence[int],
) -> Study:
    """Choose a scheme for all formats alike.

    `keras` returns the model's own probabilities (n, classes) of images, `counts` are the numbers
    of calibration images to try.
    """
    if len(validation.images) < LEAST_IMAGES:
        return Study(Scheme(counts[-1]))
    probabilities = keras(validation.images)

    def measure(scheme: Scheme) -> Trial:
        results = {}
        for format, quantizer in quantizers.items():
            answers = _answers(quantizer.quantize(scheme), format, validation, spec)
            results[format] = _result(answers, probabilities, validation.labels)
        return Trial(scheme, results)

    return search(measure, counts)


def search(measure: Callable[[Scheme], Trial], counts: Sequence[int]) -> Study:
    """Measure schemes and choose among them."""
    most = counts[-1]
    trials = [
        measure(Scheme(most, method, per_channel))
        for per_channel in (True, False)
        for method in METHODS
    ]
    leader = best(trials).scheme
    trials += [measure(replace(leader, images=count)) for count in counts[:-1]]
    return Study(best(trials).scheme, trials)


def best(trials: Sequence[Trial]) -> Trial:
    """Return the first with about the least error.

    Accuracy does not choose: a conversion that reads more digits rightly than its model does so
    by luck, and at 99 % on 5,000 images chance moves an accuracy by 0.14 points.
    """
    least = min(trial.error for trial in trials)
    return next(trial for trial in trials if trial.error <= least * _ALIKE)


def _answers(content: bytes, format: str, split: Split, spec: ModelSpec) -> NDArray[np.float32]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"model-int8.{format}"
        path.write_bytes(content)
        artifact = Artifact(path, format, "int8", spec)
        return classify(
            Classifier.from_artifact(artifact, backends.installed(format)[0]), split.images
        )


def _result(
    answers: NDArray[np.float32], probabilities: NDArray[np.float32], labels: NDArray[np.uint8]
) -> Result:
    digits = answers.argmax(axis=1)
    return Result(
        accuracy=float((digits == labels).mean()),
        agreement=float((digits == probabilities.argmax(axis=1)).mean()),
        mean_probability_error=float(np.abs(answers - probabilities).mean()),
    )


def document(study: Study) -> dict[str, Any]:
    """Return what the manifest says of the choice."""
    chosen = study.chosen
    return {
        "method": chosen.method,
        "weights": _weights(chosen),
        "images": chosen.images,
        "tried": [
            {
                "method": trial.scheme.method,
                "weights": _weights(trial.scheme),
                "images": trial.scheme.images,
                **{
                    format: {
                        "accuracy": round(result.accuracy, 6),
                        "agreement": round(result.agreement, 6),
                        "mean_probability_error": round(result.mean_probability_error, 8),
                    }
                    for format, result in trial.results.items()
                },
            }
            for trial in study.trials
        ],
    }


def summary(study: Study, validation: Split) -> str:
    """Return the line that the export reports."""
    chosen = study.chosen
    scheme = f"{chosen.method}, {_weights(chosen)}, {chosen.images} images"
    if not study.trials:
        return (
            f"int8 by {scheme}: with {len(validation.images)} held-out images there are too few "
            f"to choose by ({LEAST_IMAGES})"
        )
    trial = next(trial for trial in study.trials if trial.scheme == chosen)
    worst = max(study.trials, key=lambda trial: trial.error)
    return (
        f"int8 by {scheme}: of {len(study.trials)} ways tried on {len(validation.images):,} "
        f"held-out images, mean error of a probability {trial.error:.1e}; the worst, "
        f"{worst.scheme.method} {_weights(worst.scheme)}, {worst.error:.1e}"
    )


def _weights(scheme: Scheme) -> str:
    return "per channel" if scheme.per_channel else "per tensor"
