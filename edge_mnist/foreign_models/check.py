"""What is asked of a model file that no manifest vouches for, before a runtime loads it.

Its bytes are looked through, in a millisecond or so. What this knows to be harmless is loaded;
of the rest a process of its own finds out first.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import ModelError
from .malformed import Malformed

_NAMES = {"tflite": "TFLite", "onnx": "ONNX"}
# Whether a file may do harm in this process, which then is one of its own.
here = False


def check(
    content: bytes, *, backend: str, format: str, name: str, threads: int, path: Path
) -> None:
    """Refuse a file that is broken, or that would break what loads it.

    Raises:
        ModelError: it is such a file.
    """
    try:
        if not _harmless(content, format, path) and not here:
            from . import sandbox

            sandbox.check(path, content, backend=backend, threads=threads)
    except Malformed as error:
        raise ModelError(
            f"Expected a sound {_NAMES[format]} model, got {name} with {error}; {error.remedy}"
        ) from error


def _harmless(content: bytes, format: str, path: Path) -> bool:
    if format == "tflite":
        from . import tflite_check

        return tflite_check.check(content)
    from . import onnx_check

    return onnx_check.check(content, path)
