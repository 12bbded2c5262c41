"""The host commands: options in, a call of the pipeline out."""

from __future__ import annotations

from .bundle import bundle
from .export import export
from .keygen import keygen
from .quickstart import quickstart
from .sign import sign
from .sweep import sweep
from .train import train

__all__ = ["bundle", "export", "keygen", "quickstart", "sign", "sweep", "train"]
