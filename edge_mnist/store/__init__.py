"""A bundle in; a checked copy under its hash, and one link that says which copy is current, out.

An installation is a generation. `current` leads to one of them, and moves by a single rename, so
that a power cut leaves the old bundle or the new one. `edge_mnist.bundle.installed` describes the
folders, and follows the link.
"""

from __future__ import annotations

from .install import Installation, install
from .layout import Generation, Store
from .rollback import rollback

__all__ = ["Generation", "Installation", "Store", "install", "rollback"]
