"""A bundle's path in; checked artifacts and their model spec out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .manifest import (
    FORMATS,
    MANIFEST,
    MODELS,
    PRECISIONS,
    RUNS,
    SCHEMA,
    SHIPPED,
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
    "RUNS",
    "SCHEMA",
    "SHIPPED",
    "Artifact",
    "Bundle",
    "find_artifacts",
    "newest_bundle",
    "read_bundle",
    "sha256",
]
