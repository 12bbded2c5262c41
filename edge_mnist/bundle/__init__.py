"""A bundle's path in; checked artifacts and their model spec out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .manifest import (
    FORMATS,
    MANIFEST,
    MODELS,
    PRECISIONS,
    RELEASE_KEY,
    RUNS,
    SCHEMA,
    SHIPPED,
    SIGNATURE,
    Artifact,
    Bundle,
    find_artifacts,
    key_folders,
    newest_bundle,
    read_bundle,
    sha256,
)

if TYPE_CHECKING:
    from .manifest import File as File
    from .minisign import Signature as Signature
    from .trust import Trust as Trust

__all__ = [
    "FORMATS",
    "MANIFEST",
    "MODELS",
    "PRECISIONS",
    "RELEASE_KEY",
    "RUNS",
    "SCHEMA",
    "SHIPPED",
    "SIGNATURE",
    "Artifact",
    "Bundle",
    "find_artifacts",
    "key_folders",
    "newest_bundle",
    "read_bundle",
    "sha256",
]
