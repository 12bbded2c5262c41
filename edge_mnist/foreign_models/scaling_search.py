"""Labelled images and candidate scalings in, the scaling that a foreign model was trained with out.

Accuracy alone does not decide: a good model is 99 % accurate also on pixels of another scaling, but
less confident, or overconfident. Among the scalings within a point of the best accuracy, the log
loss decides: -log(probability of the true label). A scaling whose mean loss is within two standard
errors of the least is as good, and the first of these is chosen. Scores are no probabilities: for
them the error rate takes the place of the log loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..bundle.model_spec import Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Number of labelled images to try scalings on.
SAMPLE = 500
# Accuracies this close are alike: 0.01 of 500 images is five.
_POINT = 0.01
_STANDARD_ERRORS = 2
# Probabilities are clipped to what 8 bits tell apart: 0 may be anything below half a step of
# 1/256, and above 0.99 the difference is rounding.
_CLIP = 1e-3, 0.99


@dataclass(frozen=True, eq=False)
class Score:
    """The result of one scaling.

    Attributes:
        accuracy: the fraction of images read correctly, in [0, 1].
        losses: the log loss of every image (n,), or 1 for a misread image and 0 otherwise.
    """

    accuracy: float
    losses: NDArray[np.float64]

    @property
    def loss(self) -> float:
        """The mean of `losses`."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class SearchResult:
    """The scaling chosen, the scalings that did as well, and the score of each, by name."""

    chosen: str
    as_good: tuple[str, ...]
    scores: Mapping[str, Score]


def search(
    scalings: Mapping[str, Scaling],
    probabilities_for: Callable[[Scaling], NDArray[np.float32]],
    labels: NDArray[np.integer],
    *,
    output: str = "probabilities",
) -> SearchResult:
    """Try every scaling and choose one.

    Args:
        scalings: the candidates by name, the likeliest first.
        probabilities_for: returns (n, classes) for the n images under a scaling.
        labels: the true labels (n,).
        output: the kind of output, "probabilities", "logits" or "scores".
    """
    scores = {
        name: score(probabilities_for(scaling), labels, output)
        for name, scaling in scalings.items()
    }
    chosen, *as_good = best(scores)
    return SearchResult(chosen, tuple(as_good), scores)


def score(probabilities: NDArray[np.float32], labels: NDArray[np.integer], output: str) -> Score:
    """Return accuracy and losses for probabilities (n, classes) and labels (n,)."""
    wrong = probabilities.argmax(axis=1) != labels
    accuracy = float((~wrong).mean())
    if output == "scores":
        return Score(accuracy, wrong.astype(np.float64))
    # A model of fewer classes has no probability for the other labels.
    known = labels < probabilities.shape[1]
    true_label = np.zeros(len(labels))
    true_label[known] = probabilities[known, labels[known]]
    return Score(accuracy, -np.log(np.clip(true_label, *_CLIP)))


def best(scores: Mapping[str, Score]) -> list[str]:
    """Return the names of the best scalings, in the order tried."""
    least_accuracy = max(score.accuracy for score in scores.values()) - _POINT
    near = {name: score for name, score in scores.items() if score.accuracy >= least_accuracy}
    least = min(near.values(), key=lambda score: score.loss)
    return [name for name, score in near.items() if _no_worse(score.losses - least.losses)]


def _no_worse(excess: NDArray[np.float64]) -> bool:
    """Return whether a mean above 0 may be chance: within two standard errors."""
    return bool(excess.mean() <= _STANDARD_ERRORS * excess.std() / np.sqrt(len(excess)))
