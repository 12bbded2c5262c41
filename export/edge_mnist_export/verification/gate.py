"""Verified files in, GateError out if one of them lost too much of the Keras model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_mnist.bundle import Artifact
from edge_mnist.errors import GateError
from edge_mnist.system.text_table import percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Images on which two formats may always differ: two classes may lie within one step of 1/256.
_CHANCE_IMAGES = 5
# Slack of the limits, in percentage points: less than one image in 10,000, and more than the
# rounding of floats.
_SLACK_POINTS = 1e-3


@dataclass(frozen=True, eq=False)
class VerifiedFile:
    """One model file, compared with Keras on the test set.

    Attributes:
        artifact: the file.
        requirements: what a runtime needs to load it, as the manifest states that.
        backend: the runtime that ran it.
        accuracy: fraction of the labels that the file predicts.
        drop: Keras's accuracy minus the file's, in percentage points.
        agreement: fraction of the images on which file and Keras predict the same class.
        max_probability_error: greatest absolute difference of a probability from Keras's.
        mean_probability_error: mean absolute difference of a probability from Keras's.
        tolerance: the greatest allowed `max_probability_error`.
        differing: indices of the images on which file and Keras predict different classes.
        predicted: the predicted classes (n,).
    """

    artifact: Artifact
    requirements: Mapping[str, Any]
    backend: str
    accuracy: float
    drop: float
    agreement: float
    max_probability_error: float
    mean_probability_error: float
    tolerance: float
    differing: tuple[int, ...]
    predicted: NDArray[np.intp]


@dataclass(frozen=True)
class Gate:
    """The limits that every file of a bundle must keep.

    Attributes:
        max_drop: greatest loss of accuracy against Keras, in percentage points.
        min_agreement: least agreement with Keras, in percent of the test images.
    """

    max_drop: float = 0.3
    min_agreement: float = 99.0

    @property
    def max_format_difference(self) -> float:
        """The fraction of images on which two formats of one precision may differ.

        They round alike, so it is a tenth of the difference allowed between a file and Keras.
        """
        return (100 - self.min_agreement) / 1000


def tolerance(precision: str, *, weight_error: float) -> float:
    """Return the greatest difference from Keras's probabilities that rounding can explain.

    - float32: at least 1e-5. A sum in a small CNN has about 1,000 terms, each rounded by 2^-24 of
      its size in another order. In the worst case that is 1e3 * 6e-8 = 6e-5 in a logit, and
      typically a tenth. Logits in the hundreds round more coarsely, as does Keras itself: 8 times
      `weight_error` covers other orders of summation.
    - float16: a step is relative to each value. The sum over weights w and inputs x, rounded in
      steps s_w and s_x, is off by s_w |x| / sqrt(12) and s_x |w| / sqrt(12), which are about
      equal. Together they are sqrt(2) times the share of the weights. A factor of 4 covers that
      both are samples, and 2^-12 is the rounding of the probability itself.
    - int8 and dynamic: a step is relative to the largest value, so the two shares depend on the
      ratio of largest value to root mean square. Sparse activations have a far higher ratio than
      weights, and every operator rounds again. 16 times the share of the weights was enough for
      all of about 60 models but saturated ones. 16 steps of 1/256 are added, because LiteRT's
      softmax differed by 14 steps from tflite-runtime's for the same file, and because a
      probability of 1 is stored as 255/256.

    Drop and agreement measure what 8 bits cost a model. The tolerance finds files that compute
    something else.

    Args:
        precision: float32, float16, dynamic or int8.
        weight_error: greatest change of a probability when Keras runs with its weights rounded to
            the steps of the precision; for float32, to half of the last bit.
    """
    if precision == "float32":
        return max(1e-5, 8 * weight_error)
    if precision == "float16":
        return min(1.0, 4 * weight_error + 2**-12)
    return min(1.0, 16 * weight_error + 16 / 256)


def check(files: Sequence[VerifiedFile], gate: Gate) -> None:
    """Make sure that every file keeps the limits of the gate.

    Raises:
        GateError: names every file that failed, and the limits it missed.
    """
    failures = [f"{f.artifact.name} {failure}" for f in files for failure in _failures(f, gate)]
    failures += _format_differences(files, gate)
    if failures:
        raise GateError(
            f"Expected a drop of at most {gate.max_drop:g} points, agreement of at least "
            f"{gate.min_agreement:g} % and errors within tolerance, got: {'; '.join(failures)}. "
            f"No bundle was written; --max-drop and --min-agreement set the gate.",
            code="gate-export",
        )


def _failures(file: VerifiedFile, gate: Gate) -> Iterator[str]:
    # Comparisons are negated so that NaN fails.
    if not file.drop <= gate.max_drop + _SLACK_POINTS:
        yield f"dropped {file.drop:.2f} points"
    if not file.agreement * 100 >= gate.min_agreement - _SLACK_POINTS:
        yield f"agrees on {percent(file.agreement)}"
    if not file.max_probability_error <= file.tolerance:
        yield (
            f"is off by {file.max_probability_error:.1e} in a probability, "
            f"over its tolerance of {file.tolerance:.1e}"
        )


def _format_differences(files: Sequence[VerifiedFile], gate: Gate) -> Iterator[str]:
    """Yield the pairs of formats of one precision that differ on too many images."""
    for first, second in itertools.combinations(files, 2):
        # Dynamic files are not comparable: in ONNX only the dense layers are quantized.
        if not first.artifact.precision == second.artifact.precision != "dynamic":
            continue
        differing, images = int((first.predicted != second.predicted).sum()), len(first.predicted)
        if differing > max(_CHANCE_IMAGES, gate.max_format_difference * images + 1e-6):
            yield (
                f"{first.artifact.name} and {second.artifact.name} agree on "
                f"{percent(1 - differing / images)}, under "
                f"{percent(1 - gate.max_format_difference)}"
            )
