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
from edge_mnist.bundle.model_spec import ModelSpec, Scaling
from edge_mnist.system.files import new_folder
from edge_mnist.system.version import __version__

from ..conversion.converter import ConvertedFile
from ..frameworks import tool_versions
from ..verification.gate import VerifiedFile

# Distributions whose versions the manifest states.
_CONVERTERS = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxslim")
_RUNTIMES = ("onnxruntime", "ai-edge-litert")


@dataclass(frozen=True)
class BundleWriter:
    """Writes a bundle into a temporary folder."""

    folder: Path

    def add(self, file: ConvertedFile, spec: ModelSpec) -> Artifact:
        """Write a model file of this export and return it as an artifact, which can be run."""
        artifact = self.sign(file.name, file.content, file.format, file.precision, spec)
        return artifact._replace(vouched=True)

    def sign(
        self, name: str, content: bytes, format: str, precision: str, spec: ModelSpec
    ) -> Artifact:
        """Write a model file of any origin and return it as an artifact."""
        path = self.folder / name
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return Artifact(path, format, precision, spec, len(content), digest)

    def finish(
        self,
        description: Mapping[str, Any],
        entries: Sequence[Mapping[str, Any]],
        *,
        failed: Mapping[str, Sequence[str]] | None = None,
        tools: Mapping[str, str] | None = None,
    ) -> None:
        """Write manifest.json: the description, the files, and the versions of the tools.

        Args:
            description: the fields on model, data and training, in their order.
            entries: the manifest's `artifacts`.
            failed: the reasons by name of the files that failed the gate. These are deleted.
            tools: versions by name; None for those of converters and runtimes.
        """
        for name in failed or ():
            (self.folder / name).unlink()
        reasons = [{"file": name, "reasons": [*why]} for name, why in (failed or {}).items()]
        if tools is None:
            tools = tool_versions(*_CONVERTERS, *_RUNTIMES)
        document = {
            "schema": SCHEMA,
            **description,
            "artifacts": [*entries],
            **({"failed": reasons} if reasons else {}),
            "tools": {"edge-mnist": __version__, **tools},
        }
        self.write(document)

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Write manifest.json as it is."""
        text = json.dumps(manifest, indent=1) + "\n"
        (self.folder / MANIFEST).write_text(text, encoding="utf-8")

    def add_files(self, folder: str, files: Mapping[str, str | bytes]) -> dict[str, str]:
        """Write files into a folder of the bundle; return their SHA-256 by relative path."""
        hashes = {}
        for name, file in files.items():
            path = self.folder / folder / name
            content = file.encode() if isinstance(file, str) else file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            hashes[name] = hashlib.sha256(content).hexdigest()
        return hashes


@contextlib.contextmanager
def new_bundle(out: Path) -> Iterator[BundleWriter]:
    """Yield a writer whose folder becomes `out` if the body succeeds, and vanishes otherwise.

    Raises:
        OutputError: `out` exists and is not empty, or cannot be written.
    """
    with new_folder(out) as folder:
        yield BundleWriter(folder)


def input_entry(spec: ModelSpec) -> dict[str, Any]:
    """Return the manifest's `input`, from which a device gets exactly this size and scaling."""
    scaling = spec.scaling
    entry = {
        "height": spec.height,
        "width": spec.width,
        "channels": spec.channels,
        "range": list(spec.range),
        "polarity": "white ink on black",
    }
    if len(scaling.mean) > 1 or scaling.std != (1.0,):
        end = Scaling(scaling.scale).value(255)
        entry |= {"range": [0.0, end], "mean": list(scaling.mean), "std": list(scaling.std)}
    return entry


def signed_entry(artifact: Artifact, *, batch: int | None, accuracy: float) -> dict[str, Any]:
    """Return the fields of `artifacts` that every file has; `batch` is None for an open one."""
    return {
        "file": artifact.name,
        "format": artifact.format,
        "precision": artifact.precision,
        "batch": batch,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "accuracy": accuracy,
    }


def verified_entry(file: VerifiedFile, batch: int | None) -> dict[str, Any]:
    """Return the entry of a file that was compared with Keras; `batch` as for an ONNX file."""
    batch = 1 if file.artifact.format == "tflite" else batch
    return {
        **signed_entry(file.artifact, batch=batch, accuracy=file.accuracy),
        "agreement": file.agreement,
        "max_probability_error": file.max_probability_error,
        "mean_probability_error": file.mean_probability_error,
        "probability_tolerance": file.tolerance,
        "differing_images": list(file.differing),
        **file.requirements,
    }
