"""Converted files and a manifest in, a bundle folder out: complete, or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_mnist import __version__
from edge_mnist.bundle import MANIFEST, SCHEMA, Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.system.files import new_folder

from .conversion.converter import ConvertedFile
from .frameworks import tool_versions
from .verification.gate import VerifiedFile
from .verification.rejection_threshold import RejectionThreshold

# The distributions whose versions the manifest states.
_TOOLS = (
    *("tensorflow", "keras", "tf2onnx", "onnx", "onnxslim"),
    *("onnxruntime", "ai-edge-litert"),
)


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json.

    Attributes:
        architecture: name and number of parameters.
        spec: the model's spec.
        training: how the model was trained, and the hash of its weights.
        target: the name of the kind of device.
        evaluation: the test set and Keras's accuracy on it.
        calibration: how int8 was quantized; None without an int8 file.
        rejection: the rejection threshold; None if there is none.
        files: the verified files.
        batch: the batch of the ONNX files; None for an open one.
    """

    architecture: Mapping[str, Any]
    spec: ModelSpec
    training: Mapping[str, Any]
    target: str
    evaluation: Mapping[str, Any]
    calibration: Mapping[str, Any] | None
    rejection: RejectionThreshold | None
    files: Sequence[VerifiedFile]
    batch: int | None

    def document(self) -> dict[str, Any]:
        """Return the JSON document of schema 1."""
        return {
            "schema": SCHEMA,
            "architecture": self.architecture,
            "labels": list(self.spec.labels),
            "input": _input_entry(self.spec),
            "training": self.training,
            "target": self.target,
            "evaluation": self.evaluation,
            **({"calibration": self.calibration} if self.calibration else {}),
            **({"refusal": self.rejection.manifest_entry()} if self.rejection else {}),
            "artifacts": [_artifact_entry(file, self.batch) for file in self.files],
            "tools": {"edge-mnist": __version__, **tool_versions(*_TOOLS)},
        }


@dataclass(frozen=True)
class BundleWriter:
    """A bundle under construction in a temporary folder."""

    folder: Path

    def add(self, file: ConvertedFile, spec: ModelSpec) -> Artifact:
        """Write a model file and return it as an artifact, which can be run."""
        path = self.folder / file.name
        path.write_bytes(file.content)
        digest = hashlib.sha256(file.content).hexdigest()
        return Artifact(path, file.format, file.precision, spec, len(file.content), digest)

    def finish(self, manifest: Manifest) -> None:
        """Write manifest.json."""
        text = json.dumps(manifest.document(), indent=1) + "\n"
        (self.folder / MANIFEST).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def new_bundle(out: Path) -> Iterator[BundleWriter]:
    """Yield a writer whose folder becomes `out` if the body succeeds, and vanishes otherwise.

    Raises:
        OutputError: `out` exists and is not empty, or cannot be written.
    """
    with new_folder(out) as folder:
        yield BundleWriter(folder)


def _input_entry(spec: ModelSpec) -> dict[str, Any]:
    return {
        "height": spec.height,
        "width": spec.width,
        "channels": spec.channels,
        "range": list(spec.range),
        "polarity": "white ink on black",
    }


def _artifact_entry(file: VerifiedFile, batch: int | None) -> dict[str, Any]:
    artifact = file.artifact
    return {
        "file": artifact.name,
        "format": artifact.format,
        "precision": artifact.precision,
        "batch": 1 if artifact.format == "tflite" else batch,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "accuracy": file.accuracy,
        "agreement": file.agreement,
        "max_probability_error": file.max_probability_error,
        "mean_probability_error": file.mean_probability_error,
        "probability_tolerance": file.tolerance,
        "differing_images": list(file.differing),
        **file.requirements,
    }
