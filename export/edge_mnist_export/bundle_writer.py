"""Converted files and a description in, a bundle folder out: complete, or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_mnist.bundle import MANIFEST, SCHEMA, Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.system.files import new_folder
from edge_mnist.system.version import __version__

from .conversion.converter import ConvertedFile
from .frameworks import tool_versions
from .verification.gate import VerifiedFile

# Distributions whose versions the manifest states.
_CONVERTERS = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxslim")
_RUNTIMES = ("onnxruntime", "ai-edge-litert")


@dataclass(frozen=True)
class BundleWriter:
    """Writes a bundle into a temporary folder."""

    folder: Path

    def add(self, file: ConvertedFile, spec: ModelSpec) -> Artifact:
        """Write a model file and return it as an artifact, which can be run."""
        path = self.folder / file.name
        path.write_bytes(file.content)
        digest = hashlib.sha256(file.content).hexdigest()
        return Artifact(path, file.format, file.precision, spec, len(file.content), digest)

    def finish(
        self,
        description: Mapping[str, Any],
        files: Sequence[VerifiedFile],
        *,
        failed: Mapping[str, Sequence[str]],
        batch: int | None,
    ) -> None:
        """Write manifest.json: the description, the files, and the versions of the tools.

        Args:
            description: the fields on model, data and training, in their order.
            files: the files that passed the gate.
            failed: the reasons by name of the files that failed it. These are deleted.
            batch: the batch of the ONNX files; None for an open one.
        """
        for name in failed:
            (self.folder / name).unlink()
        document = {
            "schema": SCHEMA,
            **description,
            "artifacts": [_artifact_entry(file, batch) for file in files],
            **(
                {"failed": [{"file": n, "reasons": [*r]} for n, r in failed.items()]}
                if failed
                else {}
            ),
            "tools": {"edge-mnist": __version__, **tool_versions(*_CONVERTERS, *_RUNTIMES)},
        }
        text = json.dumps(document, indent=1) + "\n"
        (self.folder / MANIFEST).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def new_bundle(out: Path) -> Iterator[BundleWriter]:
    """Yield a writer whose folder becomes `out` if the body succeeds, and vanishes otherwise.

    Raises:
        OutputError: `out` exists and is not empty, or cannot be written.
    """
    with new_folder(out) as folder:
        yield BundleWriter(folder)


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
