"""What is loaded: every file of a bundle in every runtime here, and which of it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import Runtime
from ..backends.selection import pairs
from ..benchmark.report import stated_accuracy
from ..bundle import Artifact, find_artifacts, newest_bundle
from ..classifier import Classifier, choose
from ..errors import ModelError
from .problems import RequestError

if TYPE_CHECKING:
    from ..bundle.model_spec import Scaling

DEFAULT = "default"


@dataclass(frozen=True)
class Source:
    """What `edge-mnist serve` was told to serve, to be read again at a reload."""

    model: str | None = None
    backend: str | None = None
    scaling: Scaling | None = None


@dataclass(frozen=True)
class Models:
    """The classifiers by name, the preferred one first; `refusals` says what would not load.

    It never changes: a reload makes another one, and who holds this one may finish with it.
    """

    place: str
    by_name: Mapping[str, Classifier]
    refusals: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All names, the preferred one first."""
        return list(self.by_name)

    def get(self, name: str | None) -> tuple[str, Classifier]:
        """Return a classifier and its name; None and `default` stand for the preferred one.

        Raises:
            RequestError: there is none of that name.
        """
        name = self.names[0] if name is None or name == DEFAULT else name
        if name not in self.by_name:
            raise RequestError(
                f"Expected a model of {', '.join((DEFAULT, *self.names))}, got {name!r:.80}.",
                HTTPStatus.NOT_FOUND,
            )
        return name, self.by_name[name]


def load(source: Source) -> Models:
    """Load every file in every runtime that takes it.

    Raises:
        BundleError, ModelError, BackendError: as `Classifier`, of the file that is preferred.
    """
    place = newest_bundle() if source.model is None else source.model
    artifacts = find_artifacts(place, scaling=source.scaling)
    best = choose(artifacts, backend=source.backend)
    loaded = {name_of(*best): _warm(*best)}
    refusals = []
    for pair in pairs(artifacts, source.backend):
        if name_of(*pair) in loaded:
            continue
        try:
            loaded[name_of(*pair)] = _warm(*pair)
        except ModelError as error:
            refusals.append(str(error))
    return Models(Path(place).name, loaded, tuple(refusals))


def _warm(artifact: Artifact, runtime: Runtime) -> Classifier:
    """Load one and show it a stroke, so that no request pays for what a first picture costs."""
    classifier = Classifier.from_artifact(artifact, runtime)
    picture = np.zeros((60, 40), np.uint8)
    picture[10:50, 18:22] = 255
    classifier.see(picture)
    return classifier


def name_of(artifact: Artifact, runtime: Runtime) -> str:
    """Return a name that needs no quoting in an address: `model-int8.tflite-litert`."""
    return f"{artifact.name}-{runtime.backend}"


def describe(models: Models) -> dict[str, Any]:
    """Return all of it as JSON; accuracies are those that the manifest states."""
    return {
        "bundle": models.place,
        "default": models.names[0],
        "models": [_row(name, classifier) for name, classifier in models.by_name.items()],
        "refused": list(models.refusals),
    }


def _row(name: str, classifier: Classifier) -> dict[str, Any]:
    artifact, spec = classifier.artifact, classifier.spec
    return {
        "name": name,
        "file": artifact.name,
        "backend": classifier.backend,
        "format": artifact.format,
        "precision": artifact.precision,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        **stated_accuracy(artifact),
        "input": {"shape": list(spec.shape), "dtype": "uint8"},
        "labels": list(spec.labels),
        "threshold": spec.threshold,
        "several": spec.digits,
    }
