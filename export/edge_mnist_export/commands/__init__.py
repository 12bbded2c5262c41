"""The host commands: options in, a call of the pipeline out."""

from __future__ import annotations

from .export import export
from .quickstart import quickstart
from .train import train

__all__ = ["export", "quickstart", "train"]
