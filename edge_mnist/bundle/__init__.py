"""A bundle: a folder with a manifest in; checked artifacts and their model spec out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import manifest
from .manifest import (
    FORMATS,
    MANIFEST,
    MODELS,
    PRECISIONS,
    SCHEMA,
    Artifact,
    Bundle,
    find_artifacts,
    newest_bundle,
    read_bundle,
    sha256,
)

if TYPE_CHECKING:
    from .manifest import File as File

__all__ = [
    "FORMATS",
    "MANIFEST",
    "MODELS",
    "PRECISIONS",
    "SCHEMA",
    "Artifact",
    "Bundle",
    "find_artifacts",
    "newest_bundle",
    "read_bundle",
    "sha256",
]


def __getattr__(name: str) -> Any:
    return getattr(manifest, name)
