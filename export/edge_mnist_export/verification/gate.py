"""The gate: what an artifact must keep of the Keras model it was made from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_mnist.bundle import Artifact
from edge_mnist.errors import GateError
from edge_mnist.system.text_table import percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# On so few images two digits may lie within one step of 1/256 of each other, and either is read.
_CHANCE = 5


@dataclass(frozen=True, eq=False)
class Verdict:
    """How one artifact did on the test set.

    `accuracy` and `agreement` (same digit as Keras) are fractions of the images; `drop` is
    Keras's accuracy less the artifact's, in percentage points; the probability errors are
    absolute differences of any probability from Keras's, of which `tolerance` allows so much;
    `digits` (n,) is what it reads, `differing` the indices of the images that Keras reads
    otherwise.
    """

    artifact: Artifact
    backend: str
    accuracy: float
    drop: float
    agreement: float
    max_probability_error: float
    mean_probability_error: float
    tolerance: float
    differing: tuple[int, ...]
    digits: NDArray[np.intp]


@dataclass(frozen=True)
class Gate:
    """What a file must keep: `max_drop` in percentage points, `min_agreement` in percent.

    Two formats of one precision round alike: they may differ from each other on a tenth of the
    images on which each may differ from Keras.
    """

    max_drop: float = 0.3
    min_agreement: float = 99.0

    @property
    def most_between_formats(self) -> float:
        """The fraction of images on which two formats of one precision may differ."""
        return (100 - self.min_agreement) / 1000


def tolerance(precision: str, *, weight_error: float) -> float:
    """Return how far a probability may be from Keras's before the conversion is at fault.

    `weight_error` is the largest change of a probability when Keras itself runs with its weights
    rounded to the precision's steps, of float32 to half its last bit.

    float32: 1e-5. The sums of a small CNN are of some thousand terms, each rounded by 2^-24 of
    its size in another order: 1e3 * 6e-8 in a logit, if they all lean the same way, is 6e-5, and
    a tenth of it since they don't. Logits in the hundreds round more coarsely: so do Keras's, by
    `weight_error`, and 8 times that leaves room for orders of summation.

    float16: a step is a part of each value. A layer's sum over weights w and inputs x, rounded in
    steps of s_w and s_x, is off by s_w |x| / sqrt(12) for the one and by s_x |w| / sqrt(12) for
    the other, which are alike here: sqrt(2) times the weights' share, and 4 leaves room for their
    being but samples. Added is the rounding of the probability itself, 2^-12.

    int8 and dynamic: a step is a part of the largest value, so that the two shares are to each
    other as the ratios of largest value to root mean square of x and w; sparse activations peak
    far higher than weights do, and every op rounds again. 16 times the weights' share was enough
    for all but saturated ones among some 60 models. Added are 16 steps of 1/256: LiteRT's softmax
    was seen 14 steps from tflite-runtime's, for the same file, and a probability of 1 is 255/256.
    What 8 bits cost a model is for the drop and the agreement to tell; this finds files that
    answer something else.
    """
    if precision == "float32":
        return max(1e-5, 8 * weight_error)
    if precision == "float16":
        return min(1.0, 4 * weight_error + 2**-12)
    return min(1.0, 16 * weight_error + 16 / 256)


def check(verdicts: Sequence[Verdict], gate: Gate) -> None:
    """Refuse a bundle in which a file lost what the gate wants kept.

    Raises:
        GateError: names every file that failed, and by what.
    """
    failures = [f"{v.artifact.path.name} {why}" for v in verdicts for why in _failures(v, gate)]
    failures += _apart(verdicts, gate)
    if failures:
        raise GateError(
            f"Expected a drop of at most {gate.max_drop:g} points, agreement of at least "
            f"{gate.min_agreement:g} % and errors within tolerance, got: {'; '.join(failures)}. "
            f"No bundle was written; --max-drop and --min-agreement set the gate."
        )


def _apart(verdicts: Sequence[Verdict], gate: Gate) -> Iterator[str]:
    """Yield what formats of one precision do not agree on."""
    for one, other in itertools.combinations(verdicts, 2):
        if not one.artifact.precision == other.artifact.precision != "dynamic":
            continue  # of dynamic files ONNX quantizes the dense layers alone
        count, images = int((one.digits != other.digits).sum()), len(one.digits)
        if count > max(_CHANCE, gate.most_between_formats * images + 1e-6):
            yield (
                f"{one.artifact.path.name} and {other.artifact.path.name} agree on "
                f"{percent(1 - count / images)}, under {percent(1 - gate.most_between_formats)}"
            )


def _failures(verdict: Verdict, gate: Gate) -> Iterator[str]:
    # A thousandth of a point is less than one image in 10,000, and more than float rounding.
    if not verdict.drop <= gate.max_drop + 1e-3:
        yield f"dropped {verdict.drop:.2f} points"
    if verdict.agreement * 100 < gate.min_agreement - 1e-3:
        yield f"agrees on {percent(verdict.agreement)}"
    if not verdict.max_probability_error <= verdict.tolerance:  # NaN is not within anything
        yield (
            f"is off by {verdict.max_probability_error:.1e} in a probability, "
            f"over its tolerance of {verdict.tolerance:.1e}"
        )
