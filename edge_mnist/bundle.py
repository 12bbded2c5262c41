"""Read a bundle and choose from it: manifest, sizes, hashes, artifacts.

A bundle is a folder with `manifest.json` and `model-<precision>.<tflite|onnx>` files. The
manifest says what each file is; no byte of a file reaches a native library before its size
and SHA-256 agree with the manifest. The only writer of bundles is on the host side.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from .contract import Contract, Scaling, from_manifest
from .errors import BundleError, ModelError

SCHEMA = 1
MANIFEST = "manifest.json"
RUNS = Path("runs")
SHIPPED = Path(__file__).with_name("models") / "edge"

# The best choice for a small CPU comes first: the files of a bundle have passed its gate,
# so what is left to choose by is time and size.
PRECISIONS = ("int8", "dynamic", "float16", "float32")
FORMATS = ("tflite", "onnx")


@dataclass(frozen=True)
class Artifact:
    """One model file.

    `contract`, `size_bytes` and `sha256` are None where no manifest vouches for it; `scaling` is
    then what the caller knows of its pixels, if anything.
    """

    path: Path
    format: str
    precision: str
    contract: Contract | None
    size_bytes: int | None = None
    sha256: str | None = None
    scaling: Scaling | None = None

    def read(self) -> bytes:
        """Return the file's bytes, checked against the manifest.

        Raises:
            BundleError: the file is missing or is not the one the manifest describes.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"Expected the model file {self.path}, got: {error.strerror}; copy it again."
            ) from error
        if self.size_bytes is not None and len(content) != self.size_bytes:
            raise BundleError(
                f"Expected {self.path} to have {self.size_bytes} bytes as its manifest says, "
                f"got {len(content)}; copy the bundle again."
            )
        if self.sha256 is not None and hashlib.sha256(content).hexdigest() != self.sha256:
            raise BundleError(
                f"Expected {self.path} to have the SHA-256 of its manifest, got other content; "
                f"copy the bundle again."
            )
        return content


@dataclass(frozen=True)
class Bundle:
    """A folder with a manifest; `manifest` is the parsed JSON."""

    path: Path
    manifest: Mapping[str, Any]
    artifacts: tuple[Artifact, ...]


def read_bundle(path: Path) -> Bundle:
    """Read `path`/manifest.json; model files are read, and checked, when they are loaded.

    Raises:
        BundleError: no manifest, a manifest that cannot be understood, or files missing.
    """
    manifest = _parse(path / MANIFEST)
    try:
        contract = from_manifest(manifest)
        artifacts = tuple(_artifact(path, entry, contract) for entry in manifest["artifacts"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ModelError) as error:
        raise BundleError(
            f"Expected {path / MANIFEST} to follow schema {SCHEMA}, got a wrong or missing "
            f"field ({repr(error)[:300]}); export the bundle again."
        ) from error
    for artifact in artifacts:
        if not artifact.path.is_file():
            raise BundleError(
                f"Expected the file {artifact.path.name} that {path / MANIFEST} lists, "
                f"got none; copy the bundle again."
            )
    if not artifacts:
        raise BundleError(f"Expected model files in {path / MANIFEST}, got none; export again.")
    return Bundle(path, manifest, artifacts)


def find_artifacts(
    model: str | PathLike[str] | None = None, *, scaling: Scaling | None = None
) -> tuple[Artifact, ...]:
    """Return the files that MODEL stands for: a bundle's, or one `.tflite` or `.onnx`.

    None stands for the bundle that ships with the package. `scaling` is for a file that no
    manifest describes.

    Raises:
        BundleError: no such path, or a folder that is not a whole bundle.
        ModelError: a file of another kind, or a scaling where a manifest states it.
    """
    try:
        path = SHIPPED if model is None else Path(model)
        artifacts = read_bundle(path).artifacts if path.is_dir() else (_file(path, scaling),)
    except (OSError, TypeError, ValueError) as error:  # no path at all, or one too long
        raise BundleError(
            f"Expected the path of a bundle, a .tflite or an .onnx file, got {str(model)[:80]!r} "
            f"({type(error).__name__})."
        ) from error
    if scaling is not None and artifacts[0].contract is not None:
        raise ModelError(
            f"Expected a scale, mean or deviation only for a file without a manifest, got "
            f"{path}, whose manifest says how pixels are scaled; leave them out."
        )
    return artifacts


def _file(path: Path, scaling: Scaling | None) -> Artifact:
    if not path.exists():
        raise BundleError(
            f"Expected a bundle folder, a .tflite or an .onnx file, got {path}, "
            f"which does not exist; make one with: edge-mnist export --int8"
        )
    format = path.suffix.lstrip(".").lower()
    if format not in FORMATS:
        remedy = f"; make one with: edge-mnist export {path}" if format == "keras" else ""
        raise ModelError(
            f"Expected a bundle folder, a .tflite or an .onnx file, got {path}{remedy}"
        )
    bare = Artifact(path, format, "unknown", None, scaling=scaling)
    return _listed_by_manifest(path) or bare


def newest_bundle(root: Path = RUNS) -> Path:
    """Return the newest bundle below `root`, or the shipped one where there is none."""
    # A name that begins with a dot is of a bundle not yet whole.
    found = (path for path in root.glob(f"*/*/{MANIFEST}") if path.parent.name[0] != ".")
    manifests = sorted(found, key=lambda path: path.stat().st_mtime)
    return manifests[-1].parent if manifests else SHIPPED


def _listed_by_manifest(path: Path) -> Artifact | None:
    """Return the artifact that a manifest beside `path` describes, if there is one."""
    if not (path.parent / MANIFEST).is_file():
        return None
    artifacts = read_bundle(path.parent).artifacts
    return next((a for a in artifacts if a.path.name == path.name), None)


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"Expected a bundle (a folder with {MANIFEST}), got {path.parent}; "
            f"make one with: edge-mnist export --int8"
        ) from error
    except OSError as error:
        raise BundleError(f"Expected to read {path}, got: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"Expected JSON in {path}, got something else ({error}); copy the bundle again."
        ) from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA or isinstance(schema, bool):
        raise BundleError(
            f"Expected schema {SCHEMA} in {path}, got {repr(schema)[:80]}; "
            f"export the bundle again, or install the edge-mnist that wrote it."
        )
    assert isinstance(manifest, dict)
    return manifest


def _artifact(folder: Path, entry: Mapping[str, Any], contract: Contract) -> Artifact:
    name = str(entry["file"])
    # A manifest may come from anywhere: it names files of its own folder, never others.
    short = 0 < len(os.fsencode(name)) < 256 and "\0" not in name
    if Path(name).name != name or not short or entry["format"] not in FORMATS:
        raise ValueError(name[:80])
    return Artifact(
        path=folder / name,
        format=str(entry["format"]),
        precision=str(entry["precision"]),
        contract=contract,
        size_bytes=int(entry["size_bytes"]),
        sha256=str(entry["sha256"]),
    )
