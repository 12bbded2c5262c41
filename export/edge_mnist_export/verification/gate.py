"""Verified files in; the files that lost too much of the Keras model, and why, out.

Drop and agreement are measured on a sample, the test images. A file misses a limit only if the
whole 95 % confidence interval of the figure lies beyond it:

- agreement, with Keras or between two formats: the upper end of the Wilson interval is below the
  limit. At a limit of 99 %, 10,000 images need 98.81 %, and 500 images need 98.2 %.
- drop: its lower end is above the limit. The drop is a paired difference: if m images are right
  in Keras or in the file but not in both, its standard error is sqrt(m) / n at most.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_mnist.bundle import Artifact
from edge_mnist.errors import GateError
from edge_mnist.system.text_table import percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Images on which two formats may always differ: two classes may lie within one step of 1/256.
_CHANCE_IMAGES = 5
# Standard errors from the middle of a 95 % interval to its ends.
_Z = 1.96
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
        changed: the number of images that are right in Keras or in the file, but not in both.
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
    changed: int
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


class Miss(NamedTuple):
    """A limit that a file missed: the reason, and a gate that would accept it, if any does."""

    reason: str
    accepting: Gate | None


def judge(files: Sequence[VerifiedFile], gate: Gate) -> dict[str, list[Miss]]:
    """Return the limits that files missed, by file name; a file that passed is not in it.

    Two formats that differ too much both fail, unless one of them failed by itself: then it is the
    cause.
    """
    missed = {file.artifact.name: list(_misses(file, gate)) for file in files}
    alone = {name for name, misses in missed.items() if misses}
    for file, other in itertools.permutations(files, 2):
        name = file.artifact.name
        if name in alone or other.artifact.name not in alone:
            missed[name] += _format_misses(file, other, gate)
    return {name: misses for name, misses in missed.items() if misses}


def error(failed: Mapping[str, Sequence[Miss]], gate: Gate, *, out: Path | None) -> GateError:
    """Return the error that names the failed files, the reasons, and the options to accept them.

    Args:
        failed: from `judge`.
        gate: the limits that they missed.
        out: the bundle of the other files; None if no file passed.
    """
    reasons = "; ".join(
        f"{name} {' and '.join(miss.reason for miss in misses)}" for name, misses in failed.items()
    )
    outcome = f"The other files are in {out}" if out else "No bundle was written"
    return GateError(
        f"Expected a drop of at most {gate.max_drop:g} points, agreement of at least "
        f"{gate.min_agreement:g} % and errors within tolerance, got: {reasons}. {outcome}; "
        f"{_remedy(failed, gate)}.",
        code="gate-export",
    )


def _remedy(failed: Mapping[str, Sequence[Miss]], gate: Gate) -> str:
    acceptable = [misses for misses in failed.values() if all(miss.accepting for miss in misses)]
    gates = [miss.accepting for misses in acceptable for miss in misses if miss.accepting]
    if not gates:
        return "no option accepts a file that differs so much, so leave it out"
    options = []
    if (max_drop := max(one.max_drop for one in gates)) > gate.max_drop:
        options.append(f"--max-drop {max_drop:g}")
    if (min_agreement := min(one.min_agreement for one in gates)) < gate.min_agreement:
        options.append(f"--min-agreement {min_agreement:g}")
    rest = "" if len(acceptable) == len(failed) else " those within tolerance"
    return f"to accept{rest}: {' '.join(options)}"


def _misses(file: VerifiedFile, gate: Gate) -> Iterator[Miss]:
    images = len(file.predicted)
    # Comparisons are negated so that NaN fails.
    if not file.drop - _Z * 100 * math.sqrt(file.changed) / images <= gate.max_drop + _SLACK_POINTS:
        finite = math.isfinite(file.drop)
        accepting = replace(gate, max_drop=math.ceil(file.drop * 10) / 10) if finite else None
        yield Miss(f"dropped {file.drop:.2f} points", accepting)
    if not _upper_end(file.agreement, images) * 100 >= gate.min_agreement - _SLACK_POINTS:
        accepting = replace(gate, min_agreement=math.floor(file.agreement * 1000) / 10)
        yield Miss(f"agrees on {percent(file.agreement)}", accepting)
    if not file.max_probability_error <= file.tolerance:
        yield Miss(
            f"is off by {file.max_probability_error:.1e} in a probability, "
            f"over its tolerance of {file.tolerance:.1e}",
            None,
        )


def _format_misses(file: VerifiedFile, other: VerifiedFile, gate: Gate) -> Iterator[Miss]:
    """Yield a miss if the other file is another format of the precision and differs too much."""
    # Dynamic files are not comparable: in ONNX only the dense layers are quantized.
    if not file.artifact.precision == other.artifact.precision != "dynamic":
        return
    differing, images = int((file.predicted != other.predicted).sum()), len(file.predicted)
    agreement, least = 1 - differing / images, 1 - gate.max_format_difference
    if differing > _CHANCE_IMAGES and _upper_end(agreement, images) < least - 1e-6:
        # The inverse of `max_format_difference`, rounded down.
        min_agreement = math.floor(1000 - 10_000 * differing / images) / 10
        yield Miss(
            f"agrees with {other.artifact.name} on {percent(agreement)}, under {percent(least)}",
            replace(gate, min_agreement=min_agreement) if min_agreement >= 0 else None,
        )


def _upper_end(agreement: float, images: int) -> float:
    """Return the upper end of the 95 % Wilson interval of an agreement in [0, 1]."""
    z2 = _Z**2 / images
    half_width = _Z * math.sqrt(agreement * (1 - agreement) / images + z2 / (4 * images))
    return (agreement + z2 / 2 + half_width) / (1 + z2)
