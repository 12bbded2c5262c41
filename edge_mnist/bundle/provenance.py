"""A model file in; what its manifest states of its training and accuracy out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BundleError
from ..system.text_table import percent
from ..system.version import __version__
from .fields import text_value
from .installed import installed_version
from .manifest import INSTALLED, MANIFEST, SHIPPED, Artifact, read_bundle, sha256

# The first part of the names of drawn data sets: synthetic-train, synthetic-test.
DRAWN = "synthetic-"


class Provenance(NamedTuple):
    """The origin of a model file. A field that its manifest does not state is None.

    Attributes:
        bundle: the name of a shipped bundle; "installed" with digits of the hash for one of the
            store; else the bundle's folder, or the path of a file without a manifest.
        ships: whether the bundle ships with the package.
        manifest_sha256: the manifest's hash.
        trained_on: the name of the training data.
        accuracy: the file's accuracy at its export, in [0, 1].
        accuracy_data: the name of the data of that accuracy.
        architecture: the name of the model's architecture.
    """

    bundle: str
    ships: bool = False
    manifest_sha256: str | None = None
    trained_on: str | None = None
    accuracy: float | None = None
    accuracy_data: str | None = None
    architecture: str | None = None

    @property
    def drawn(self) -> bool:
        """Whether the model saw only drawn digits."""
        return self.trained_on is not None and self.trained_on.startswith(DRAWN)

    @property
    def line(self) -> str:
        """The origin in one line; a model that saw only drawn digits is called that."""
        if self.manifest_sha256 is None:
            return f"{self.bundle} (no manifest)"
        parts = [f"{self.bundle} (ships with edge-mnist)" if self.ships else self.bundle]
        if self.trained_on is None:
            parts.append("training data not stated")
        else:
            drawn = " (drawn digits, not MNIST)" if self.drawn else ""
            parts.append(f"trained on {self.trained_on}{drawn}")
        if self.accuracy is not None:
            parts.append(f"{percent(self.accuracy)} on {self.accuracy_data}")
        return ", ".join(parts)


def provenance(artifact: Artifact) -> Provenance:
    """Return the origin of a model file."""
    if artifact.sha256 is None:
        return Provenance(str(artifact.path))
    folder = artifact.path.parent
    ships = folder.parent == Path(SHIPPED).parent
    version = None if ships else installed_version(folder)
    name = folder.name if ships else f"{INSTALLED} {version}" if version else str(folder)
    try:
        digest = sha256((folder / MANIFEST).read_bytes())
        # Read for what it says; whether it is trusted was asked when the artifact was found.
        manifest = read_bundle(folder, trust=False).manifest
    except (BundleError, OSError):  # It was there when the artifact was found.
        return Provenance(name, ships)
    return Provenance(
        name,
        ships,
        digest,
        text_value(manifest, "training", "data", "name"),
        *_accuracy(manifest, artifact.name),
        text_value(manifest, "architecture", "name"),
    )


def model_json(artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """Return the key `model` of JSON outputs, for the files of one bundle or one file.

    Raises:
        BundleError: a file without a manifest cannot be read.
    """
    origin = provenance(artifacts[0])
    return {
        "bundle": origin.bundle,
        "manifest_sha256": origin.manifest_sha256,
        "file_sha256": {a.name: a.sha256 or sha256(a.read()) for a in artifacts},
        "trained_on": origin.trained_on,
        "edge_mnist": __version__,
    }


def statements(artifact: Artifact) -> list[tuple[str, str]]:
    """Return what a manifest states of a file's origin, as names and texts; for tables and pages.

    Raises:
        BundleError: a file without a manifest cannot be read.
    """
    origin = provenance(artifact)
    manifest: Mapping[str, Any] = {}
    if origin.manifest_sha256 is not None:
        manifest = read_bundle(artifact.path.parent, trust=False).manifest
    architecture = text_value(manifest, "architecture", "name")
    parameters = _value(manifest, "architecture", "parameters")
    if architecture and isinstance(parameters, int):
        architecture += f", {parameters:,} parameters in Keras"
    teacher = text_value(manifest, "training", "recipe", "teacher")
    found = {
        "model": origin.line,
        "architecture": architecture,
        "training data": _data(manifest),
        "training": ", ".join(_recipe(manifest)),
        "distilled from": teacher and f"a model of SHA-256 {teacher}",
        "exported for": text_value(manifest, "target"),
        "tools": ", ".join(f"{tool} {version}" for tool, version in _tools(manifest)),
        "manifest": origin.manifest_sha256 and f"SHA-256 {origin.manifest_sha256}",
        "file": f"{artifact.name}, SHA-256 {artifact.sha256 or sha256(artifact.read())}",
    }
    return [(key, value) for key, value in found.items() if value]


def file_entries(artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """Return name, format, precision, size and stated accuracy of each file.

    Raises:
        BundleError: a file without a manifest cannot be read.
    """
    return [
        {
            "file": artifact.name,
            "format": artifact.format,
            "precision": artifact.precision,
            "size_bytes": artifact.size_bytes or len(artifact.read()),
            "accuracy": provenance(artifact).accuracy,
        }
        for artifact in artifacts
    ]


def _data(manifest: Mapping[str, Any]) -> str | None:
    """Return the training data: name, number of images and hash; drawn digits are called that."""
    name = text_value(manifest, "training", "data", "name")
    if name is None:
        return None
    parts = [f"{name}{' (drawn digits, not MNIST)' if name.startswith(DRAWN) else ''}"]
    if isinstance(images := _value(manifest, "training", "data", "images"), int):
        parts.append(f"{images:,} images")
    if digest := text_value(manifest, "training", "data", "sha256"):
        parts.append(f"SHA-256 {digest}")
    return ", ".join(parts)


def _recipe(manifest: Mapping[str, Any]) -> list[str]:
    names = {"seed": "seed", "epochs": "epochs", "batch_size": "batch size"}
    names |= {"learning_rate": "learning rate", "optimizer": "optimizer", "backend": "in"}
    values = {key: _value(manifest, "training", "recipe", key) for key in names}
    return [f"{name} {values[key]}" for key, name in names.items() if values[key] is not None]


def _tools(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    tools = manifest.get("tools")
    names = (
        [str(name) for name in tools if str(name).isprintable()]
        if isinstance(tools, Mapping)
        else []
    )
    known = [(name, text_value(manifest, "tools", name)) for name in names[:20]]
    return [(name, version) for name, version in known if version is not None]


def _value(manifest: Mapping[str, Any], *keys: str) -> str | int | float | None:
    """Return a name or number from the manifest; None unless it is one."""
    value: Any = manifest
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) else text_value(manifest, *keys)


def _accuracy(manifest: Mapping[str, Any], file: str) -> tuple[float | None, str | None]:
    data = text_value(manifest, "evaluation", "data")
    entry = next(entry for entry in manifest["artifacts"] if entry["file"] == file)
    accuracy = entry.get("accuracy")
    if data is None or isinstance(accuracy, bool) or not isinstance(accuracy, int | float):
        return None, None
    return (float(accuracy), data) if 0 <= accuracy <= 1 else (None, None)
