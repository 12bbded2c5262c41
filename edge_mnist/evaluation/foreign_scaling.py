"""Foreign model files and labelled images in, the scaling of each file's pixels out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import datasets
from ..backends import Runtime
from ..bundle import Artifact
from ..bundle.model_spec import ModelSpec, Scaling
from ..classifier import Classifier
from ..datasets import Source, Split
from ..errors import DataError, ModelError
from ..foreign_models import scaling_search, spec_inference
from ..system.text_table import percent
from .accuracy import check_classes, classify

if TYPE_CHECKING:
    from numpy.typing import NDArray

# With a lower accuracy than this no scaling fits.
_FITS = 0.5


@dataclass(frozen=True)
class ForeignScaling:
    """The scaling of a foreign file's pixels, and its source.

    Attributes:
        artifact: the file, with its scaling.
        spec: what the model takes and answers.
        source: "given" by the caller, stated in the "file", or "tried" on images.
        data: the name of the images tried, None if none were.
        images: their number.
        chosen: the scaling's name.
        scores: how each scaling did, by name.
        as_good: the names of those that did as well as the chosen one.
        predictions: the classes (n,) predicted under each scaling tried, by name.
    """

    artifact: Artifact
    spec: ModelSpec
    source: str
    data: str | None = None
    images: int = 0
    chosen: str = ""
    scores: Mapping[str, scaling_search.Score] = field(default_factory=dict)
    as_good: tuple[str, ...] = ()
    predictions: Mapping[str, NDArray[np.intp]] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """The result in one line, with the command-line options that state it."""
        return f"{self.line}. For predict and benchmark: {self.spec.scaling.options}"

    @property
    def line(self) -> str:
        """The result in one line."""
        spec = self.spec
        line = (
            f"{self.artifact.name}: {spec.height}×{spec.width}×{spec.channels} ({self.fitting}), "
            f"{len(spec.labels)} {spec.output}, pixels "
            f"{self.chosen or spec_inference.name_of(spec.scaling)}"
        )
        if self.source != "tried":
            return f"{line}, as {'the file says' if self.source == 'file' else 'given'}"
        accuracy = self.scores[self.chosen].accuracy
        line += (
            f": the best of {len(self.scores)} ways tried on {self.images} images of "
            f"{self.data}, {percent(accuracy)}"
        )
        if self.as_good:
            line += f"; as good, and the first is taken: {', '.join(self.as_good)}"
        if accuracy < _FITS:
            line += "; none fits, so that --scale, --mean and --std must say it"
        return line

    @property
    def fitting(self) -> str:
        """The way a 28×28 image was brought to the model's size and channels."""
        spec = self.spec
        ways = {(28, 28): "as it stands", (32, 32): "padded"}
        way = ways.get((spec.height, spec.width), "resized")
        return way if spec.channels == 1 else f"{way}, grey three times"

    @property
    def document(self) -> dict[str, Any]:
        """The result for `evaluate --json`."""
        spec = self.spec
        return {
            "height": spec.height,
            "width": spec.width,
            "channels": spec.channels,
            "fitted": self.fitting,
            "scale": spec.scaling.scale,
            "mean": list(spec.scaling.mean),
            "std": list(spec.scaling.std),
            "options": spec.scaling.options,
            "output": spec.output,
            "found": self.source,
            "data": self.data,
            "images": self.images,
            "tried": {
                name: {"accuracy": score.accuracy, "loss": round(score.loss, 6)}
                for name, score in self.scores.items()
            },
            "alike": list(self.as_good),
        }


def settle_scalings(
    pairs: Sequence[tuple[Artifact, Runtime]], source: Source, test: Split
) -> tuple[list[tuple[Artifact, Runtime]], list[ForeignScaling]]:
    """Find the scaling of every foreign file.

    Args:
        pairs: files with the runtimes to evaluate them in.
        source: the data set. Scalings are tried on its training split.
        test: its test split, of which the first images serve if there is no training split.

    Returns:
        The pairs with all scalings set, and one result for each foreign file.
    """
    results: dict[Artifact, ForeignScaling] = {}
    for artifact, runtime in pairs:
        if artifact.spec is None and artifact not in results:
            results[artifact] = find_scaling(artifact, runtime, _sample(source, test))
    settled = [(results[a].artifact if a in results else a, runtime) for a, runtime in pairs]
    return settled, list(results.values())


def find_scaling(artifact: Artifact, runtime: Runtime, split: Split) -> ForeignScaling:
    """Find a foreign file's scaling: given, stated in the file, or tried on labelled images."""
    classifier = Classifier.from_artifact(artifact, runtime)
    spec = classifier.spec
    check_classes(classifier, split.classes, data=split.name)
    if classifier.scaling_from == "given":
        return ForeignScaling(artifact, spec, "given")
    choices = spec_inference.candidates(classifier.session.input, spec.channels)

    def probabilities_for(scaling: Scaling) -> NDArray[np.float32]:
        classifier.rescale(scaling)
        try:
            return classify(classifier, split.images)
        except ModelError as error:
            if error.code != "model-not-finite":
                raise
            # It overflows on these pixels, so this is not its scaling.
            return np.zeros((len(split.images), len(spec.labels)), np.float32)

    outputs = {scaling: probabilities_for(scaling) for scaling in choices.values()}
    predictions = {name: outputs[one].argmax(axis=1) for name, one in choices.items()}
    found = scaling_search.search(choices, outputs.__getitem__, split.labels, output=spec.output)
    spec = spec._replace(scaling=choices[found.chosen])
    if classifier.scaling_from == "file" and found.chosen == next(iter(choices)):
        return ForeignScaling(artifact, spec, "file", predictions=predictions)
    return ForeignScaling(
        artifact._replace(scaling=spec.scaling),
        spec,
        "tried",
        data=split.name,
        images=len(split.images),
        chosen=found.chosen,
        scores=found.scores,
        as_good=found.as_good,
        predictions=predictions,
    )


def training_sample(source: Source, shape: tuple[int, int, int]) -> Split:
    """Return training images to try scalings on; `shape` is that of a user's own images.

    Raises:
        DataError: there is no training split.
    """
    if source.kind != "own":
        return datasets.load(source, "train", limit=scaling_search.SAMPLE)
    return datasets.load(source, "train", shape=shape).sample(scaling_search.SAMPLE)


def _sample(source: Source, test: Split) -> Split:
    try:
        shape = test.images.shape[1:] if test.images.ndim == 4 else (28, 28, 1)
        return training_sample(source, shape)
    except DataError:
        count = scaling_search.SAMPLE
        return replace(test, images=test.images[:count], labels=test.labels[:count])
