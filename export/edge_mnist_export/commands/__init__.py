"""The host commands: options in, a call of the pipeline out."""

from __future__ import annotations

from .bundle import bundle
from .export import export
from .quickstart import quickstart
from .train import train

__all__ = ["bundle", "export", "quickstart", "train"]
