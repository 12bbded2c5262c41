"""Quantizers and held-out images in, the int8 scheme with the least error out.

The search first tries every range method on all calibration images, with weights quantized per
channel and per tensor. It then tries the best of these on fewer images. Among schemes with about
the same error it takes the first, which is the plainest.
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

# With fewer validation images than these the choice would be left to chance.
MIN_IMAGES = 100
# Errors whose ratio is below this count as equal.
_EQUAL_ERROR_RATIO = 1.05


@dataclass(frozen=True)
class Scheme:
    """One way to quantize a model to int8.

    Attributes:
        images: the number of calibration images.
        method: how activation ranges are taken, one of `METHODS`.
        per_channel: whether every channel of a layer's weights has its own scale.
    """

    images: int
    method: str = "min-max"
    per_channel: bool = True

    @property
    def weights(self) -> str:
        """The granularity of the weights' scales, in words."""
        return "per channel" if self.per_channel else "per tensor"


@dataclass(frozen=True)
class FormatResult:
    """The int8 file of one format, compared with Keras on the validation images.

    Attributes:
        accuracy: fraction of the labels that the file predicts.
        agreement: fraction of the images on which file and Keras predict the same class.
        mean_probability_error: mean absolute difference from Keras's probabilities.
    """

    accuracy: float
    agreement: float
    mean_probability_error: float


@dataclass(frozen=True)
class SchemeResult:
    """A scheme, and its result in each format."""

    scheme: Scheme
    by_format: Mapping[str, FormatResult]

    @property
    def error(self) -> float:
        """The mean probability error over the formats."""
        return fmean(result.mean_probability_error for result in self.by_format.values())


@dataclass(frozen=True)
class SearchResult:
    """The chosen scheme, and all results. There are none if there were too few images."""

    chosen: Scheme
    results: Sequence[SchemeResult] = ()


class Quantizer(Protocol):
    """A model of one format that can be quantized by any scheme."""

    def quantize(self, scheme: Scheme) -> bytes:
        """Return the int8 file."""
        ...


def search_schemes(
    quantizers: Mapping[str, Quantizer],
    validation: Split,
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    spec: ModelSpec,
    counts: Sequence[int],
) -> SearchResult:
    """Choose one scheme for all formats.

    Args:
        quantizers: by format.
        validation: images that neither training nor calibration used.
        predict: Keras's probabilities (n, classes) for images (n, …) uint8.
        spec: the spec of the model.
        counts: the numbers of calibration images to try, in ascending order.
    """
    if len(validation.images) < MIN_IMAGES:
        return SearchResult(Scheme(counts[-1]))
    expected = predict(validation.images)

    def measure(scheme: Scheme) -> SchemeResult:
        results = {}
        for format, quantizer in quantizers.items():
            probabilities = _predict(quantizer.quantize(scheme), format, validation, spec)
            results[format] = _compare(probabilities, expected, validation.labels)
        return SchemeResult(scheme, results)

    return search(measure, counts)


def search(measure: Callable[[Scheme], SchemeResult], counts: Sequence[int]) -> SearchResult:
    """Measure the schemes and choose among them; see the module's docstring for the order."""
    results = [
        measure(Scheme(counts[-1], method, per_channel))
        for per_channel in (True, False)
        for method in METHODS
    ]
    leader = choose(results).scheme
    results += [measure(replace(leader, images=count)) for count in counts[:-1]]
    return SearchResult(choose(results).scheme, results)


def choose(results: Sequence[SchemeResult]) -> SchemeResult:
    """Return the first result whose error is within 5 % of the least.

    Accuracy is not a criterion, because its differences are chance: on 5,000 images at 99 %, the
    standard error of an accuracy is 0.14 points.
    """
    least = min(result.error for result in results)
    return next(result for result in results if result.error <= least * _EQUAL_ERROR_RATIO)


def _predict(content: bytes, format: str, split: Split, spec: ModelSpec) -> NDArray[np.float32]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"model-int8.{format}"
        path.write_bytes(content)
        artifact = Artifact(path, format, "int8", spec, vouched=True)
        return classify(
            Classifier.from_artifact(artifact, backends.installed(format)[0]), split.images
        )


def _compare(
    probabilities: NDArray[np.float32], expected: NDArray[np.float32], labels: NDArray[np.uint8]
) -> FormatResult:
    predicted = probabilities.argmax(axis=1)
    return FormatResult(
        accuracy=float((predicted == labels).mean()),
        agreement=float((predicted == expected.argmax(axis=1)).mean()),
        mean_probability_error=float(np.abs(probabilities - expected).mean()),
    )


def manifest_entry(found: SearchResult) -> dict[str, Any]:
    """Return the fields on the choice in the manifest's `calibration`."""
    return {
        **_scheme_entry(found.chosen),
        "tried": [
            {
                **_scheme_entry(result.scheme),
                **{name: _format_entry(of_format) for name, of_format in result.by_format.items()},
            }
            for result in found.results
        ],
    }


def _scheme_entry(scheme: Scheme) -> dict[str, Any]:
    return {"method": scheme.method, "weights": scheme.weights, "images": scheme.images}


def _format_entry(result: FormatResult) -> dict[str, float]:
    return {
        "accuracy": round(result.accuracy, 6),
        "agreement": round(result.agreement, 6),
        "mean_probability_error": round(result.mean_probability_error, 8),
    }


def summary(found: SearchResult, validation: Split) -> str:
    """Return one line on the choice, for the export's progress."""
    scheme = found.chosen
    text = f"int8 by {scheme.method}, {scheme.weights}, {scheme.images} images"
    if not found.results:
        return (
            f"{text}: no search, because it needs {MIN_IMAGES} held-out images and there are "
            f"{len(validation.images)}"
        )
    chosen = next(result for result in found.results if result.scheme == scheme)
    worst = max(found.results, key=lambda result: result.error)
    return (
        f"{text}: the best of {len(found.results)} schemes on {len(validation.images):,} held-out "
        f"images, mean probability error {chosen.error:.1e}; the worst is {worst.scheme.method}, "
        f"{worst.scheme.weights}, with {worst.error:.1e}"
    )
