"""Find by labelled images how a file without a manifest wants its pixels.

Accuracy alone would not tell: a good model reads 99 % also of pixels scaled otherwise than in its
training. It is less sure of them, or too sure. So among the scalings within a point of the best
accuracy the log loss decides, -log(probability of the true digit); where image by image it is no
more than two standard errors above the least, there is nothing to choose, and the first stands.
Scores are no probabilities: of them it is the misread images that count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backends, datasets
from ..bundle import Artifact
from ..bundle.model_spec import ModelSpec
from ..classifier import Classifier
from ..errors import DataError
from ..evaluation import read
from ..system.text_table import percent
from . import spec_inference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..datasets import Source, Split

SAMPLE = 500
# Of 500 images one point is five: fewer tell nothing.
_POINT = 0.01
_ERRORS = 2
# What 8 bits tell apart: 0 stands for anything below half a step of 1/256, and of what is surer
# than 0.99 the rest is rounding.
_LEAST, _MOST = 1e-3, 0.99
# Below this accuracy nothing has been found at all.
_FITS = 0.5


@dataclass(frozen=True, eq=False)
class Score:
    """How one scaling did: accuracy, and the log loss, or misreading, of every image (n,)."""

    accuracy: float
    losses: NDArray[np.float64]

    @property
    def loss(self) -> float:
        """The mean of `losses`."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Trial:
    """How a file without a manifest takes its pixels, and how that was found.

    `found` is "given" by the caller, read in the "file", or "tried" on images. Of these `data`
    and `images` say which and how many, `scores` how each scaling did, by name; `alike` name
    those between which and the one `chosen` there was nothing to choose but their order.
    """

    artifact: Artifact
    spec: ModelSpec
    found: str
    data: str | None = None
    images: int = 0
    chosen: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)
    alike: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Say it in a line."""
        c = self.spec
        name = self.artifact.path.name
        size = f"{c.height}×{c.width}×{c.channels}"
        pixels = self.chosen or spec_inference.name_of(c.scaling)
        line = f"{name}: {size} ({self.fitting}), {len(c.labels)} {c.output}, pixels {pixels}"
        if self.found != "tried":
            line += {"file": ", as the file says", "given": ", as given"}[self.found]
            return f"{line}. For predict and benchmark: {c.scaling.options}"
        accuracy = self.scores[self.chosen].accuracy
        line += (
            f": the best of {len(self.scores)} ways tried on {self.images} images of "
            f"{self.data}, {percent(accuracy)}"
        )
        if self.alike:
            line += f"; as good, and the first is taken: {', '.join(self.alike)}"
        if accuracy < _FITS:
            line += "; none fits, so that --scale, --mean and --std must say it"
        return f"{line}. For predict and benchmark: {c.scaling.options}"

    @property
    def fitting(self) -> str:
        """How a 28×28 image became the model's."""
        spec = self.spec
        ways = {(28, 28): "as it stands", (32, 32): "padded"}
        way = ways.get((spec.height, spec.width), "resized")
        return way if spec.channels == 1 else f"{way}, grey three times"

    @property
    def document(self) -> dict[str, Any]:
        """The same for scripts."""
        c = self.spec
        return {
            "height": c.height,
            "width": c.width,
            "channels": c.channels,
            "fitted": self.fitting,
            "scale": c.scaling.scale,
            "mean": list(c.scaling.mean),
            "std": list(c.scaling.std),
            "options": c.scaling.options,
            "output": c.output,
            "found": self.found,
            "data": self.data,
            "images": self.images,
            "tried": {
                name: {"accuracy": score.accuracy, "loss": round(score.loss, 6)}
                for name, score in self.scores.items()
            },
            "alike": list(self.alike),
        }


def sample(source: Source, test: Split) -> Split:
    """Return labelled images to try on: of the training split, or of the test split if alone."""
    try:
        size = test.images.shape[1:] if test.images.ndim == 4 else (28, 28, 1)
        return datasets.load(source, "train", limit=SAMPLE, shape=size)
    except DataError:
        return replace(test, images=test.images[:SAMPLE], labels=test.labels[:SAMPLE])


def find(artifact: Artifact, runtime: backends.Runtime, split: Split) -> Trial:
    """Try the usual scalings on labelled images, in a file that no manifest describes."""
    classifier = Classifier.from_artifact(artifact, runtime)
    if classifier.scaling_from == "given":
        return Trial(artifact, classifier.spec, "given")
    choices = spec_inference.candidates(classifier.session.input, classifier.spec.channels)
    scores = {}
    for name, scaling in choices.items():
        classifier.rescale(scaling)
        probabilities = read(classifier, split.images)
        scores[name] = score(probabilities, split.labels, classifier.spec.output)
    chosen, *alike = best(scores)
    classifier.rescale(choices[chosen])
    spec = classifier.spec
    if classifier.scaling_from == "file" and chosen == next(iter(choices)):
        return Trial(artifact, spec, "file")
    settled = artifact._replace(scaling=spec.scaling)
    return Trial(
        settled,
        spec,
        "tried",
        data=split.name,
        images=len(split.images),
        chosen=chosen,
        scores=scores,
        alike=tuple(alike),
    )


def score(probabilities: NDArray[np.float32], labels: NDArray[np.uint8], output: str) -> Score:
    wrong = probabilities.argmax(axis=1) != labels
    accuracy = float((~wrong).mean())
    if output == "scores":
        return Score(accuracy, wrong.astype(np.float64))
    # A model of fewer classes than ten has no probability for the others.
    known = labels < probabilities.shape[1]
    of_truth = np.zeros(len(labels))
    of_truth[known] = probabilities[known, labels[known]]
    return Score(accuracy, -np.log(np.clip(of_truth, _LEAST, _MOST)))


def best(scores: Mapping[str, Score]) -> list[str]:
    """Return the names of the best, in the order tried."""
    most = max(score.accuracy for score in scores.values()) - _POINT
    near = {name: score for name, score in scores.items() if score.accuracy >= most}
    least = min(near.values(), key=lambda score: score.loss)
    return [name for name, score in near.items() if _no_worse(score.losses - least.losses)]


def _no_worse(excess: NDArray[np.float64]) -> bool:
    """Whether a mean above 0 may be chance: within two standard errors of it."""
    return bool(excess.mean() <= _ERRORS * excess.std() / np.sqrt(len(excess)))


def settle(
    pairs: Sequence[tuple[Artifact, backends.Runtime]], source: Source, test: Split
) -> tuple[list[tuple[Artifact, backends.Runtime]], list[Trial]]:
    """Return the pairs with every file's scaling settled, and the trials of those without one."""
    trials: dict[Artifact, Trial] = {}
    for artifact, runtime in pairs:
        if artifact.spec is None and artifact not in trials:
            trials[artifact] = find(artifact, runtime, sample(source, test))
    settled = [(trials[a].artifact if a in trials else a, runtime) for a, runtime in pairs]
    return settled, list(trials.values())
