"""The gate: what an artifact must keep of the Keras model it was made from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_mnist.bundle import Artifact
from edge_mnist.errors import GateError
from edge_mnist.tables import percent


@dataclass(frozen=True)
class Verdict:
    """How one artifact did on the test set.

    `accuracy` and `agreement` (same digit as Keras) are fractions of the images; `drop` is
    Keras's accuracy less the artifact's, in percentage points; the probability errors are
    absolute differences of any probability from Keras's, of which `tolerance` allows so much;
    `differing` are the indices of the images that are read otherwise than by Keras.
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


@dataclass(frozen=True)
class Gate:
    """What a file must keep: `max_drop` in percentage points, `min_agreement` in percent."""

    max_drop: float = 0.3
    min_agreement: float = 99.0


# Half of the spacing of float16's numbers, relative; and of 256 steps over a tensor's range.
_ROUNDING = {"float16": 2.0**-11, "dynamic": 0.5 / 255, "int8": 0.5 / 255}


def tolerance(precision: str, *, logit_range: float, layers: int, images: int) -> float:
    """Return how far a probability may be from Keras's before the conversion is at fault.

    float32: 1e-5. The sums of a small CNN are of some thousand terms, each rounded by 2^-24 of
    its size in another order: 1e3 * 6e-8 in a logit, if they all lean the same way, is 6e-5, and
    a tenth of it since they don't.

    The others round, relative to the range of the tensor, by at most r: float16 2^-11, 8 bits
    half a step of 1/255. Each of `layers` layers rounds twice, weights and activations. An error
    spread evenly over ±r has the deviation r / sqrt(3), and independent ones add in squares, so
    a logit is off with the deviation

        s = logit_range * r * sqrt(2 * layers / 3).

    Among m Gaussian errors the largest is about sqrt(2 ln m) deviations; here m is ten logits of
    every image. A probability moves by at most a quarter of the change in the difference of two
    logits (the slope of the sigmoid at 0), whose deviation is sqrt(2) s. So

        tolerance = 1/4 * sqrt(2) * s * sqrt(2 ln m) + r,

    the last for the rounding of the probability itself.
    """
    if precision == "float32":
        return 1e-5
    rounding = _ROUNDING[precision]
    deviation = logit_range * rounding * math.sqrt(2 * layers / 3)
    largest = math.sqrt(2 * math.log(10 * images))
    return min(1.0, math.sqrt(2) / 4 * deviation * largest + rounding)


def check(verdicts: Sequence[Verdict], gate: Gate) -> None:
    """Refuse a bundle in which a file lost what the gate wants kept.

    Raises:
        GateError: names every file that failed, and by what.
    """
    failures = [f"{v.artifact.path.name} {why}" for v in verdicts for why in _failures(v, gate)]
    if failures:
        raise GateError(
            f"Expected a drop of at most {gate.max_drop:g} points, agreement of at least "
            f"{gate.min_agreement:g} % and errors within tolerance, got: {'; '.join(failures)}. "
            f"No bundle was written; --max-drop and --min-agreement set the gate."
        )


def _failures(verdict: Verdict, gate: Gate) -> Iterator[str]:
    # A thousandth of a point is less than one image in 10,000, and more than float rounding.
    if verdict.drop > gate.max_drop + 1e-3:
        yield f"dropped {verdict.drop:.2f} points"
    if verdict.agreement * 100 < gate.min_agreement - 1e-3:
        yield f"agrees on {percent(verdict.agreement)}"
    if verdict.max_probability_error > verdict.tolerance:
        yield (
            f"is off by {verdict.max_probability_error:.1e} in a probability, "
            f"over its tolerance of {verdict.tolerance:.1e}"
        )
