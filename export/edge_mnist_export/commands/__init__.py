"""The host commands: options in, a call of the pipeline out."""

from __future__ import annotations

from .all import export, quickstart, train

__all__ = ["export", "quickstart", "train"]
