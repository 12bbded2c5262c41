"""Read a bundle and choose from it: manifest, sizes, hashes, artifacts.

A bundle is a folder with `manifest.json` and `model-<precision>.<tflite|onnx>` files. The
manifest says what each file is; no byte of a file reaches a native library before its size
and SHA-256 agree with the manifest. The only writer of bundles is on the host side.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BundleError, ModelError
from .model_spec import ModelSpec, Scaling, from_manifest

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    File = str | PathLike[str]

SCHEMA = 1
MANIFEST = "manifest.json"
# The bundles that ship with the package, by name; the first is what there is without a name.
MODELS = ("edge", "nano")

# The best choice for a small CPU comes first: the files of a bundle have passed its gate,
# so what is left to choose by is time and size.
PRECISIONS = ("int8", "dynamic", "float16", "float32")
FORMATS = ("tflite", "onnx")


def __getattr__(name: str) -> Any:
    # pathlib would be a third of what importing Classifier costs, and that needs no path.
    if name in ("RUNS", "SHIPPED"):
        from pathlib import Path

        return Path("runs" if name == "RUNS" else _shipped(MODELS[0]))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Artifact(NamedTuple):
    """One model file.

    `spec`, `size_bytes` and `sha256` are None where no manifest vouches for it; `scaling` is
    then what the caller knows of its pixels, if anything.
    """

    file: File
    format: str
    precision: str
    spec: ModelSpec | None
    size_bytes: int | None = None
    sha256: str | None = None
    scaling: Scaling | None = None

    @property
    def path(self) -> Path:
        """Where it lies."""
        from pathlib import Path

        return Path(self.file)

    @property
    def name(self) -> str:
        """The file's name, as messages give it."""
        return os.path.basename(self.file)

    def read(self) -> bytes:
        """Return the file's bytes, checked against the manifest.

        Raises:
            BundleError: the file is missing or is not the one the manifest describes.
        """
        try:
            with open(self.file, "rb") as file:
                content = file.read()
        except OSError as error:
            raise BundleError(
                f"Expected the model file {self.file}, got: {error.strerror}; copy it again."
            ) from error
        if self.size_bytes is not None and len(content) != self.size_bytes:
            raise BundleError(
                f"Expected {self.file} to have {self.size_bytes} bytes as its manifest says, "
                f"got {len(content)}; copy the bundle again."
            )
        if self.sha256 is not None and sha256(content) != self.sha256:
            raise BundleError(
                f"Expected {self.file} to have the SHA-256 of its manifest, got other content; "
                f"copy the bundle again."
            )
        return content


def sha256(content: bytes) -> str:
    """Return the hash in hexadecimal digits."""
    # Python's own, where it is built in: hashlib loads OpenSSL, 2 ms and 3.6 MB, for the same.
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]
    except ImportError:
        try:
            from _sha256 import sha256  # type: ignore[import-not-found]
        except ImportError:
            from hashlib import sha256
    return str(sha256(content).hexdigest())


class Bundle(NamedTuple):
    """A folder with a manifest; `manifest` is the parsed JSON."""

    folder: File
    manifest: Mapping[str, Any]
    artifacts: tuple[Artifact, ...]


def read_bundle(folder: File) -> Bundle:
    """Read `folder`/manifest.json; model files are read, and checked, when they are loaded.

    Raises:
        BundleError: no manifest, a manifest that cannot be understood, or files missing.
    """
    path = os.path.join(folder, MANIFEST)
    manifest = _parse(path)
    try:
        spec = from_manifest(manifest)
        artifacts = tuple(_artifact(folder, entry, spec) for entry in manifest["artifacts"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ModelError) as error:
        raise BundleError(
            f"Expected {path} to follow schema {SCHEMA}, got a wrong or missing "
            f"field ({repr(error)[:300]}); export the bundle again."
        ) from error
    for artifact in artifacts:
        if not os.path.isfile(artifact.file):
            raise BundleError(
                f"Expected the file {artifact.name} that {path} lists, got none; "
                f"copy the bundle again."
            )
    if not artifacts:
        raise BundleError(f"Expected model files in {path}, got none; export again.")
    return Bundle(folder, manifest, artifacts)


def find_artifacts(
    model: File | None = None, *, scaling: Scaling | None = None
) -> tuple[Artifact, ...]:
    """Return the files that MODEL stands for: a bundle's, or one `.tflite` or `.onnx`.

    "edge" and "nano" stand for the bundles that ship with the package where there is no such
    path, and None for the first of them. `scaling` is for a file that no manifest describes.

    Raises:
        BundleError: no such path, or a folder that is not a whole bundle.
        ModelError: a file of another kind, or a scaling where a manifest states it.
    """
    try:
        path = MODELS[0] if model is None else os.fspath(model)
        if model is None or (path in MODELS and not os.path.exists(path)):
            path = _shipped(path)
        folder = os.path.isdir(path)
        artifacts = read_bundle(path).artifacts if folder else (_file(path, scaling),)
    except (OSError, TypeError, ValueError) as error:  # no path at all, or one too long
        raise BundleError(
            f"Expected the path of a bundle, a .tflite or an .onnx file, got {str(model)[:80]!r} "
            f"({type(error).__name__})."
        ) from error
    if scaling is not None and artifacts[0].spec is not None:
        raise ModelError(
            f"Expected a scale, mean or deviation only for a file without a manifest, got "
            f"{path}, whose manifest says how pixels are scaled; leave them out."
        )
    return artifacts


def _shipped(name: str) -> str:
    return os.path.join(os.path.dirname(__file__), "shipped", name)


def _file(path: str, scaling: Scaling | None) -> Artifact:
    if not os.path.exists(path):
        raise BundleError(
            f"Expected a bundle folder, a .tflite or an .onnx file, or one of the package "
            f"({', '.join(MODELS)}), got {path}, which does not exist; make one with: "
            f"edge-mnist export --int8"
        )
    format = os.path.splitext(path)[1].lstrip(".").lower()
    if format not in FORMATS:
        remedy = f"; make one with: edge-mnist export {path}" if format == "keras" else ""
        raise ModelError(
            f"Expected a bundle folder, a .tflite or an .onnx file, got {path}{remedy}"
        )
    bare = Artifact(path, format, "unknown", None, scaling=scaling)
    return _listed_by_manifest(path) or bare


def newest_bundle(root: File = "runs") -> Path:
    """Return the newest bundle below `root`, or the shipped one where there is none."""
    from pathlib import Path

    # A name that begins with a dot is of a bundle not yet whole.
    found = (p for p in Path(root).glob(f"*/*/{MANIFEST}") if p.parent.name[0] != ".")
    manifests = sorted(found, key=lambda path: path.stat().st_mtime)
    return manifests[-1].parent if manifests else Path(_shipped(MODELS[0]))


def _listed_by_manifest(path: str) -> Artifact | None:
    """Return the artifact that a manifest beside `path` describes, if there is one."""
    folder, name = os.path.split(path)
    if not os.path.isfile(os.path.join(folder, MANIFEST)):
        return None
    return next((a for a in read_bundle(folder).artifacts if a.name == name), None)


def _parse(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except FileNotFoundError as error:
        raise BundleError(
            f"Expected a bundle (a folder with {MANIFEST}), got {os.path.dirname(path)}; "
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


def _artifact(folder: File, entry: Mapping[str, Any], spec: ModelSpec) -> Artifact:
    name = str(entry["file"])
    # A manifest may come from anywhere: it names files of its own folder, never others.
    possible = 0 < len(os.fsencode(name)) < 256 and "\0" not in name
    own = os.path.basename(name) == name and name not in (".", "..")
    if not possible or not own or entry["format"] not in FORMATS:
        raise ValueError(name[:80])
    return Artifact(
        file=os.path.join(folder, name),
        format=str(entry["format"]),
        precision=str(entry["precision"]),
        spec=spec,
        size_bytes=int(entry["size_bytes"]),
        sha256=str(entry["sha256"]),
    )
