"""A parsed manifest and keys in; the value there out, if it is of the right kind.

A manifest may come from anywhere. What describes a model may be missing, or be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text_value(manifest: Mapping[str, Any], *keys: str) -> str | None:
    """Return a name from the manifest; None unless it is short and printable."""
    value: Any = manifest
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value.isprintable() and len(value) < 200 else None
