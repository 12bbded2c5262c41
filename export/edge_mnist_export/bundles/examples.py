"""The files of a bundle in; `examples.npz` and the manifest's field on it out.

The images are drawn digits, never a user's own data, which may be private. Only those go in that
every file answers alike, with a clear margin, in every runtime of this machine: a device then has
to give exactly these answers.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.backends.selection import pairs
from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import DIGITS, ModelSpec
from edge_mnist.bundle.verification import EXAMPLES
from edge_mnist.classifier import Classifier
from edge_mnist.datasets import synthetic
from edge_mnist.errors import ModelError
from edge_mnist.store.examples import Examples
from edge_mnist.vision.preprocess import fit

from .bundle_writer import BundleWriter

FILE = "examples.npz"
DATA = "synthetic-test"
# Upper bound on the images, and on their raw bytes; at least 4 images, however large they are. Two
# of each digit take 4 kB in a bundle.
_MOST, _BYTES, _LEAST = 20, 80_000, 4
# Images to choose from.
_DRAWN = 500
# Least distance between the two highest probabilities. Runtimes differ by up to 14 steps of 1/256
# in an output of int8 (see `gate.tolerance`), so that the distance changes by up to 0.11.
_MARGIN = 0.25


def add(
    bundle: BundleWriter, artifacts: Sequence[Artifact], *, report: Callable[[str], None]
) -> dict[str, Any]:
    """Write examples into a bundle's folder.

    Args:
        bundle: the bundle that is being written.
        artifacts: its files.
        report: takes a line if there are no examples.

    Returns:
        The manifest's fields: `examples`, or none.
    """
    examples = choose(artifacts)
    if examples is None:
        report("No examples: the files answer no drawn digits alike and with a clear margin")
        return {}
    content = to_bytes(examples)
    (bundle.folder / FILE).write_bytes(content)
    return {EXAMPLES: entry(examples, content)}


def entry(examples: Examples, content: bytes) -> dict[str, Any]:
    """Return the manifest's `examples`."""
    return {
        "file": FILE,
        "data": DATA,
        "images": len(examples.images),
        "accuracy": examples.accuracy,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def to_bytes(examples: Examples) -> bytes:
    """Return `examples.npz`. The same examples give the same bytes: numpy writes no times."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {"images": examples.images, "answers": examples.answers}
    if examples.labels is not None:
        arrays["labels"] = examples.labels
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def choose(artifacts: Sequence[Artifact]) -> Examples | None:
    """Return images of the model's size that all files answer alike; None if there are too few."""
    spec = artifacts[0].spec
    assert spec is not None
    classifiers = list(_classifiers(artifacts))
    wanted = max(_LEAST, min(_MOST, _BYTES // math.prod(spec.shape)))
    drawn, labels = synthetic.split("test", limit=_DRAWN)
    found: list[tuple[NDArray[Any], ...]] = []
    counts: Counter[int] = Counter()
    for start in range(0, _DRAWN, wanted):
        part = slice(start, start + wanted)
        images = fit(drawn[part], spec)
        clear, answers = _answers(classifiers, images)
        for one in zip(images[clear], answers[clear], labels[part][clear], strict=True):
            # As many of each digit.
            if counts[digit := int(one[2])] < -(-wanted // 10) and len(found) < wanted:
                counts[digit] += 1
                found.append(one)
    if len(found) < _LEAST:
        return None
    images, answers, digits = map(np.array, zip(*found, strict=True))
    true = _true_outputs(digits, spec)
    accuracy = None if true is None else float(np.mean(answers == true))
    return Examples(images, answers.astype("<i4"), true, accuracy)


def _classifiers(artifacts: Sequence[Artifact]) -> Iterator[Classifier]:
    """Yield every file in every installed runtime that takes it."""
    for artifact, runtime in pairs(artifacts, None):
        try:
            yield Classifier.from_artifact(artifact, runtime)
        except ModelError:  # Such as an operator that the arithmetic of the backend numpy lacks.
            continue


def _answers(
    classifiers: Sequence[Classifier], images: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return which images are answered alike and clearly, and the answers of the first."""
    clear = np.ones(len(images), bool)
    expected = np.zeros(len(images), np.intp)
    for number, classifier in enumerate(classifiers):
        probabilities = classifier.predict_probabilities(images)
        answers, ordered = probabilities.argmax(axis=1), np.sort(probabilities, axis=1)
        expected = expected if number else answers
        # Compared in this way, NaN is not clear.
        clear &= (ordered[:, -1] - ordered[:, -2] >= _MARGIN) & (answers == expected)
    return clear, expected


def _true_outputs(digits: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.int32] | None:
    """Return the index of each digit's output; None if the model has other labels."""
    if not set(DIGITS) <= set(spec.labels):
        return None
    return np.array([spec.labels.index(str(digit)) for digit in digits], "<i4")
