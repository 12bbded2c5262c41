"""A bundle or a model file in; a warm classifier for each file and runtime, by name, out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..backends import Runtime
from ..backends.selection import pairs
from ..bundle import MODELS, Artifact, find_artifacts, newest_bundle
from ..bundle.model_spec import Scaling
from ..bundle.provenance import model_json, provenance
from ..classifier import choose
from ..errors import ModelError
from .problem_details import RequestError
from .stage_times import TimedClassifier

if TYPE_CHECKING:
    from ..bundle import Trust

DEFAULT_NAME = "default"


@dataclass(frozen=True)
class ModelSource:
    """The options that select the models; each reload uses them again."""

    model: str | None = None  # A bundle, a .tflite or an .onnx; None for the shipped `edge`.
    latest: bool = False  # Use the newest bundle in runs/ instead of `model`.
    backend: str | None = None  # The only runtime to use; None uses all that are installed.
    scaling: Scaling | None = None  # Scaling of the pixels, for a file without a manifest.
    trust: Trust = None  # Trusted keys in place of those in the folders; read at each reload.


@dataclass(frozen=True)
class LoadedModels:
    """All classifiers of a bundle. A reload makes a new object and leaves this one as it is."""

    bundle: str  # Name of the bundle's folder or of the file.
    model: Mapping[str, Any]  # Origin and hashes of its files, as `evaluate --json` has them.
    by_name: Mapping[str, TimedClassifier]  # The default is the first.
    load_errors: tuple[str, ...] = ()  # A message for each file that a runtime refused.

    @property
    def names(self) -> list[str]:
        """All names, the default model's first."""
        return list(self.by_name)

    @property
    def origin(self) -> str:
        """The default model's bundle, training data and accuracy, in one line."""
        return provenance(self.by_name[self.names[0]].artifact).line

    def get(self, name: str | None) -> tuple[str, TimedClassifier]:
        """Return a model's own name and its classifier; None and "default" mean the default.

        Raises:
            RequestError: no model has that name.
        """
        name = self.names[0] if name is None or name == DEFAULT_NAME else name
        if name not in self.by_name:
            raise RequestError(
                f"Expected one of the models {', '.join((DEFAULT_NAME, *self.names))}, "
                f"got {name!r:.80}.",
                HTTPStatus.NOT_FOUND,
                code="request-model",
            )
        return name, self.by_name[name]

    def to_json(self) -> dict[str, Any]:
        """Return the names and properties of all models; accuracies are the manifest's."""
        return {
            "bundle": self.bundle,
            "model": self.model,
            "default": self.names[0],
            "models": [_model_json(name, classifier) for name, classifier in self.by_name.items()],
            "refused": list(self.load_errors),
        }


def load_models(source: ModelSource) -> LoadedModels:
    """Load every file in every runtime that can.

    Raises:
        BundleError, ModelError, BackendError: the default model cannot be loaded.
    """
    path = newest_bundle() if source.latest else source.model
    artifacts = find_artifacts(path, scaling=source.scaling, trust=source.trust)
    default = choose(artifacts, backend=source.backend)
    loaded, errors = {_model_name(*default): _load_warm(*default)}, []
    for pair in pairs(artifacts, source.backend):
        if _model_name(*pair) in loaded:
            continue
        try:
            loaded[_model_name(*pair)] = _load_warm(*pair)
        except ModelError as error:
            errors.append(str(error))
    bundle = Path(path or MODELS[0]).name
    model = {**model_json(artifacts), "bundle": bundle}  # Clients get no path of this machine.
    return LoadedModels(bundle, model, loaded, tuple(errors))


def _load_warm(artifact: Artifact, runtime: Runtime) -> TimedClassifier:
    """Load one and read a drawn stroke, so that no request waits for what is loaded late."""
    classifier = TimedClassifier.from_artifact(artifact, runtime)
    picture = np.zeros((60, 40), np.uint8)
    picture[10:50, 18:22] = 255
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    classifier.detect(file.getvalue())
    return classifier


def _model_name(artifact: Artifact, runtime: Runtime) -> str:
    """Return a name that is safe in a URL, such as `model-int8.tflite-litert`."""
    return f"{artifact.name}-{runtime.backend}"


def _model_json(name: str, classifier: TimedClassifier) -> dict[str, Any]:
    artifact, spec = classifier.artifact, classifier.spec
    origin = provenance(artifact)
    return {
        "name": name,
        "file": artifact.name,
        "backend": classifier.backend,
        "format": artifact.format,
        "precision": artifact.precision,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "accuracy": origin.accuracy,
        "accuracy_data": origin.accuracy_data,
        "input": {"shape": list(spec.shape), "dtype": "uint8"},
        "labels": list(spec.labels),
        "threshold": spec.threshold,
        "several": spec.digits,
    }
