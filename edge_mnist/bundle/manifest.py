"""A bundle's path in, its artifacts out: manifest, sizes and hashes checked.

A bundle is a folder with `manifest.json` and `model-<precision>.<tflite|onnx>` files. No byte of a
file reaches a native library before its size and SHA-256 agree with the manifest, and the manifest
is signed by a trusted key, if there is one. Bundles are written on the host side only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BundleError, ModelError
from ..system.quick_json import parse_json
from .model_spec import ModelSpec, Scaling, spec_from_manifest

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from .minisign import Signature
    from .trust import Trust

    File = str | PathLike[str]

SCHEMA = 1
MANIFEST = "manifest.json"
SIGNATURE = f"{MANIFEST}.minisig"
# The bundles that ship with the package, by name; the first is the default.
MODELS = ("edge", "nano")
# Paths are strings: importing pathlib would be a third of the import time of `Classifier`.
_SHIPPED = os.path.join(os.path.dirname(__file__), "shipped")
SHIPPED = os.path.join(_SHIPPED, MODELS[0])
# The public half of the project's key, which vouches for the shipped bundles and no others.
RELEASE_KEY = os.path.join(_SHIPPED, "release.pub")
RUNS = "runs"
# The name of the store's current bundle.
INSTALLED = "installed"
_READS = 5  # attempts

# The preferred precision first. All files of a bundle passed its gate, so speed and size decide.
PRECISIONS = ("int8", "dynamic", "float16", "float32")
FORMATS = ("tflite", "onnx")


class Artifact(NamedTuple):
    """One model file.

    Attributes:
        file: its path.
        format: "tflite" or "onnx".
        precision: "int8", "dynamic", "float16", "float32", or "unknown".
        spec: what the model takes and answers; None for a foreign file.
        size_bytes: its size as the manifest states it; None for a foreign file.
        sha256: its hash as the manifest states it; None for a foreign file.
        scaling: for a foreign file, the caller's scaling of pixels, if any.
        vouched: whether a trusted key signed its bundle, or it ships with the package.
    """

    file: File
    format: str
    precision: str
    spec: ModelSpec | None
    size_bytes: int | None = None
    sha256: str | None = None
    scaling: Scaling | None = None
    vouched: bool = False

    @property
    def path(self) -> Path:
        """Its path as a `Path`."""
        from pathlib import Path

        return Path(self.file)

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return os.path.basename(self.file)

    def read(self) -> bytes:
        """Return the file's bytes, checked against the manifest.

        Raises:
            BundleError: the file is missing, or its size or hash is another one.
        """
        try:
            with open(self.file, "rb") as file:
                content = file.read()
        except OSError as error:
            raise BundleError(
                f"Expected the model file {self.file}, got: {error.strerror}; copy it again.",
                code="bundle-file-missing",
            ) from error
        if self.size_bytes is not None and len(content) != self.size_bytes:
            raise BundleError(
                f"Expected {self.file} to have {self.size_bytes} bytes as its manifest says, "
                f"got {len(content)}; copy the bundle again.",
                code="bundle-size",
            )
        if self.sha256 is not None and sha256(content) != self.sha256:
            raise BundleError(
                f"Expected {self.file} to have the SHA-256 of its manifest, got other content; "
                f"copy the bundle again.",
                code="bundle-hash",
            )
        return content


def sha256(content: bytes) -> str:
    """Return the hash in hexadecimal digits."""
    # Python's built-in implementation, if there is one: hashlib loads OpenSSL, 2 ms and 3.6 MB.
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256
    return str(sha256(content).hexdigest())


class Bundle(NamedTuple):
    """A bundle folder, its parsed manifest and its artifacts.

    Attributes:
        signature: who signed the manifest: a trusted key, or for a shipped bundle the release key.
            None where no key is trusted, for then no signature is checked.
    """

    folder: File
    manifest: Mapping[str, Any]
    artifacts: tuple[Artifact, ...]
    signature: Signature | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the folder and the manifest, as JSON values."""
        return {"folder": os.fspath(self.folder), **self.manifest}

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the provenance, and a table of the files."""
        from .notebook import bundle_html

        return bundle_html(os.fspath(self.folder), self.manifest)


def key_folders() -> tuple[str, ...]:
    """Return the folders of the keys that this user and this machine trust."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    config = given if os.path.isabs(given) else os.path.expanduser(os.path.join("~", ".config"))
    folders = (os.path.join(base, "edge-mnist", "trusted") for base in (config, "/etc"))
    return tuple(filter(os.path.isabs, folders))  # Without a home, only that of the machine.


def read_bundle(folder: File, *, trust: Trust = None) -> Bundle:
    """Read a bundle's manifest. Model files are read and checked when they are loaded.

    Args:
        folder: the bundle's folder.
        trust: the keys of which one must have signed the manifest: the path of a `.pub` file, of a
            folder of them, the base64 text of a key, or a sequence of these. None for the keys in
            the folders of `key_folders`; without any the signature is not asked for. False asks
            for none in any case.

    Raises:
        BundleError: the manifest is missing, malformed or not signed by a trusted key, or a file is
            missing.
    """
    path = os.path.join(folder, MANIFEST)
    manifest, signature = read_manifest(folder, trust=trust)
    vouched = signature is not None or is_shipped(folder)
    try:
        spec = spec_from_manifest(manifest)
        artifacts = tuple(
            _artifact(folder, entry, spec, vouched=vouched) for entry in manifest["artifacts"]
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ModelError) as error:
        raise BundleError(
            f"Expected {path} to follow schema {SCHEMA}, got a wrong or missing "
            f"field ({repr(error)[:300]}); export the bundle again.",
            code="bundle-manifest",
        ) from error
    for artifact in artifacts:
        if not os.path.isfile(artifact.file):
            raise BundleError(
                f"Expected the file {artifact.name} that {path} lists, got none; "
                f"copy the bundle again.",
                code="bundle-file-missing",
            )
    if not artifacts:
        raise BundleError(
            f"Expected model files in {path}, got none; export again.", code="bundle-empty"
        )
    return Bundle(folder, manifest, artifacts, signature)


def read_manifest(
    folder: File, *, trust: Trust = None
) -> tuple[Mapping[str, Any], Signature | None]:
    """Return a bundle's manifest, and its signature as in `Bundle`.

    Raises:
        BundleError: it is missing, no JSON of this schema, or not signed by a trusted key.
    """
    path = os.path.join(folder, MANIFEST)
    content = _read_file(path)
    # Checked before it is parsed, and these very bytes are parsed.
    signature = _signature(folder, content, trust) if _asks_for_keys(trust) else None
    return _parse(path, content), signature


def find_artifacts(
    model: File | None = None, *, scaling: Scaling | None = None, trust: Trust = None
) -> tuple[Artifact, ...]:
    """Return the files that MODEL stands for.

    Args:
        model: a bundle's folder, a `.tflite` or an `.onnx` file. Where no such path exists, "edge"
            and "nano" stand for the shipped bundles, and "installed" for the current one of the
            store. None stands for "edge".
        scaling: how pixels are scaled, for a foreign file.
        trust: as for `read_bundle`. Where a key is trusted, a foreign file is refused.

    Raises:
        BundleError: there is no such path, the folder is not a whole bundle, or no trusted key
            signed it.
        ModelError: the file is of another kind, or a manifest states the scaling already.
    """
    try:
        path = os.fspath(model) if model is not None else MODELS[0]
        if _is_installed(path):
            artifacts = _read_installed(trust).artifacts
        elif os.path.isdir(path := resolve(model)):
            artifacts = read_bundle(path, trust=trust).artifacts
        else:
            artifacts = (_file(path, scaling, trust),)
    except (OSError, TypeError, ValueError) as error:  # not a path, or too long a name
        raise BundleError(
            f"Expected the path of a bundle, a .tflite or an .onnx file, got {str(model)[:80]!r} "
            f"({type(error).__name__}).",
            code="bundle-path",
        ) from error
    if scaling is not None and artifacts[0].spec is not None:
        raise ModelError(
            f"Expected a scale, mean or deviation only for a file without a manifest, got "
            f"{path}, whose manifest says how pixels are scaled; leave them out.",
            code="model-scaling-stated",
        )
    return artifacts


def _read_installed(trust: Trust) -> Bundle:
    """Read the current bundle of the store; again, if it was deleted meanwhile."""
    for left in reversed(range(_READS)):
        try:
            return read_bundle(resolve(INSTALLED), trust=trust)
        except BundleError:
            # An install that keeps few generations may have deleted the version meanwhile.
            if not left:
                raise
    raise AssertionError


def _is_installed(path: str) -> bool:
    """Return whether a path stands for the current bundle of the store."""
    return path == INSTALLED and not os.path.exists(path)


def resolve(model: File | None) -> str:
    """Return a path, or the bundle's folder of a name where no such path exists.

    Raises:
        BundleError: the name is "installed", and nothing is.
    """
    path = MODELS[0] if model is None else os.fspath(model)
    if model is None or (path in MODELS and not os.path.exists(path)):
        return os.path.join(_SHIPPED, path)
    if _is_installed(path):
        # Imported late: most models are given by their paths.
        from .installed import installed_folder

        return installed_folder()
    return path


def is_shipped(folder: File) -> bool:
    """Return whether a folder is that of a shipped bundle."""
    try:
        place = os.stat(folder or os.curdir)
        return any(os.path.samestat(place, os.stat(os.path.join(_SHIPPED, n))) for n in MODELS)
    except OSError:  # Not there, or a bundle was taken out of the package.
        return False


def _asks_for_keys(trust: Trust) -> bool:
    """Return whether keys may be trusted; imports nothing, for on most machines none are."""
    if trust is not None:
        return trust is not False
    for folder in key_folders():
        try:
            os.lstat(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass  # `trusted_keys` says what is wrong.
        return True
    return False


def _signature(folder: File, content: bytes, trust: Trust) -> Signature | None:
    """Return the signature of a manifest's bytes; None if no key is trusted."""
    from .trust import check_signature, trusted_keys

    folders = key_folders()
    keys = trusted_keys(trust, folders)
    if keys and is_shipped(folder):
        keys = trusted_keys(RELEASE_KEY, folders)
    path = os.path.join(folder, SIGNATURE)
    return check_signature(content, path, keys, folders=folders) if keys else None


def newest_bundle(root: File = RUNS) -> Path:
    """Return the newest bundle of a run folder in `root`.

    Raises:
        BundleError: there is none.
    """
    from pathlib import Path

    # A bundle that is being written has a name that begins with a dot.
    found = (p for p in Path(root).glob(f"*/*/{MANIFEST}") if p.parent.name[0] != ".")
    manifests = sorted(found, key=lambda path: path.stat().st_mtime)
    if not manifests:
        raise BundleError(
            f"Expected a bundle in {root}/*/ for --latest, got none; make one with: edge-mnist "
            f"quickstart, or leave out --latest for the model that ships with edge-mnist.",
            code="bundle-latest",
        )
    return manifests[-1].parent


def _file(path: str, scaling: Scaling | None, trust: Trust) -> Artifact:
    """Return the artifact of a single file; a manifest beside it may list it."""
    if not os.path.exists(path):
        raise BundleError(
            f"Expected a bundle folder, a .tflite or an .onnx file, or one of the package "
            f"({', '.join(MODELS)}), got {path}, which does not exist; make one with: "
            f"edge-mnist export --int8",
            code="bundle-missing",
        )
    format = os.path.splitext(path)[1].lstrip(".").lower()
    if format not in FORMATS:
        remedy = f"; make one with: edge-mnist export {path}" if format == "keras" else ""
        raise ModelError(
            f"Expected a bundle folder, a .tflite or an .onnx file, got {path}{remedy}",
            code="model-format",
        )
    listed = _listed_by_manifest(path, trust)
    if listed is None and _asks_for_keys(trust):
        from .trust import refuse_foreign

        refuse_foreign(path, trust, key_folders())
    return listed or Artifact(path, format, "unknown", None, scaling=scaling)


def _listed_by_manifest(path: str, trust: Trust) -> Artifact | None:
    folder, name = os.path.split(path)
    if not os.path.isfile(os.path.join(folder, MANIFEST)):
        return None
    return next((a for a in read_bundle(folder, trust=trust).artifacts if a.name == name), None)


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise _no_manifest(os.path.dirname(path)) from error
    except OSError as error:
        raise BundleError(
            f"Expected to read {path}, got: {error.strerror}.", code="bundle-unreadable"
        ) from error


def _parse(path: str, content: bytes) -> Mapping[str, Any]:
    try:
        manifest = parse_json(content.decode())
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"Expected JSON in {path}, got something else ({error}); copy the bundle again.",
            code="bundle-manifest",
        ) from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA or isinstance(schema, bool):
        raise BundleError(
            f"Expected schema {SCHEMA} in {path}, got {repr(schema)[:80]}; "
            f"export the bundle again, or install the edge-mnist that wrote it.",
            code="bundle-schema",
        )
    assert isinstance(manifest, dict)
    return manifest


def _no_manifest(folder: str) -> BundleError:
    from glob import escape, glob

    inside = sorted(glob(os.path.join(escape(folder), "*", MANIFEST)))
    if inside:
        return BundleError(
            f"Expected a bundle (a folder with {MANIFEST}), got {folder}; give the bundle in it: "
            f"{os.path.dirname(inside[0])}",
            code="bundle-missing",
        )
    return BundleError(
        f"Expected a bundle (a folder with {MANIFEST}), got {folder}; make one with: edge-mnist "
        f"export --int8",
        code="bundle-missing",
    )


def _artifact(
    folder: File, entry: Mapping[str, Any], spec: ModelSpec, *, vouched: bool
) -> Artifact:
    name = str(entry["file"])
    # A manifest may come from anywhere. It may name files of its own folder only.
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
        vouched=vouched,
    )
