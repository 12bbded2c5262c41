"""Evaluations of int8 files in; how far their output bytes are from the written arithmetic, out.

The reference is the backend `numpy`, which follows docs/explanation/arithmetic.md to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..backends import RUNTIMES
from ..bundle import Artifact, read_bundle
from ..bundle.manifest import sha256
from ..errors import ModelError
from .accuracy import Evaluation, evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..datasets import Split

# Quantized probabilities have this many steps from 0 to 1.
_STEPS = 256


class Outputs(NamedTuple):
    """The output bytes of one file in one runtime, beside those of the arithmetic.

    Attributes:
        sha256: of the bytes (n, classes), uint8, in the order of the images.
        differing: the number of images with another byte.
        most_steps: the greatest difference of a byte.
        recorded: the hash in the manifest for the same images; None if it has none.
    """

    sha256: str
    differing: int
    most_steps: int
    recorded: str | None

    @property
    def text(self) -> str:
        """The comparison in a few words."""
        if not self.differing:
            return "equal to the byte"
        images = "image differs" if self.differing == 1 else "images differ"
        steps = "step" if self.most_steps == 1 else "steps"
        return f"{self.differing:,} {images}, by at most {self.most_steps} {steps}"

    @property
    def document(self) -> dict[str, Any]:
        """The key `outputs` of `evaluate --json`."""
        return {
            "sha256": self.sha256,
            "differing_images": self.differing,
            "most_steps": self.most_steps,
        }


def output_bytes(result: Evaluation) -> NDArray[np.uint8]:
    """Return the raw output (n, classes) uint8 of a file whose output has the scale 1/256."""
    raw: NDArray[np.uint8] = np.rint(result.probabilities * _STEPS).astype(np.uint8)
    return raw


def compare_outputs(
    results: Sequence[Evaluation], artifacts: Sequence[Artifact], split: Split
) -> dict[tuple[str, str], Outputs]:
    """Compare the int8 files of a bundle with the arithmetic, by file name and runtime.

    Args:
        results: evaluations on `split`.
        artifacts: all files of the bundle; the int8 `.tflite` file is the reference.
        split: the images.

    Returns:
        Nothing if there is no such file, or if it has an operator that the arithmetic lacks.
    """
    quantized = [r for r in results if _is_listed_int8(r.artifact)]
    if not quantized or (expected := _reference(quantized, artifacts, split)) is None:
        return {}
    recorded = _recorded(quantized[0].artifact, split)
    compared = {}
    for result in quantized:
        raw = output_bytes(result)
        steps = np.abs(raw.astype(np.int16) - expected).max(axis=1)
        differing = int(np.count_nonzero(steps))
        compared[result.artifact.name, result.backend] = Outputs(
            sha256(raw.tobytes()), differing, int(steps.max()), recorded
        )
    return compared


def not_as_recorded(compared: Mapping[tuple[str, str], Outputs], images: int) -> list[str]:
    """Return a sentence for each runtime whose outputs are not those of the manifest."""
    return [
        f"Expected {name} on {backend} to give the outputs that its manifest records, got others: "
        f"of {images:,} images {outputs.text if outputs.differing else 'none differs'} from the "
        f"written arithmetic."
        for (name, backend), outputs in compared.items()
        if outputs.recorded not in (None, outputs.sha256)
    ]


def _is_listed_int8(artifact: Artifact) -> bool:
    return artifact.precision == "int8" and artifact.spec is not None


def _reference(
    results: Sequence[Evaluation], artifacts: Sequence[Artifact], split: Split
) -> NDArray[np.uint8] | None:
    """Return the bytes of the arithmetic, or None if there is no file to compute them from."""
    for result in results:
        if result.backend == "numpy":
            return output_bytes(result)
    files = [a for a in artifacts if _is_listed_int8(a) and a.format == "tflite"]
    if not files:
        return None
    try:
        return output_bytes(evaluate(files[0], RUNTIMES["numpy"], split))
    except ModelError:  # an operator that the arithmetic lacks
        return None


def _recorded(artifact: Artifact, split: Split) -> str | None:
    """Return the hash that the manifest records, if it is of exactly these images."""
    evaluation = read_bundle(artifact.path.parent, trust=False).manifest.get("evaluation")
    if not isinstance(evaluation, Mapping):
        return None
    same = (evaluation.get("sha256"), evaluation.get("images")) == (split.sha256, len(split.images))
    recorded = evaluation.get("int8_outputs_sha256")
    return str(recorded) if same and recorded is not None else None
