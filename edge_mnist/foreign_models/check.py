"""A foreign model file in, an error out if it could harm the process that loads it.

A foreign file has no manifest. Its bytes are checked first, in about a millisecond. A file that is
not known to be safe is then loaded and run once in a child process. SECURITY.md has the details.
"""

from __future__ import annotations

from pathlib import Path

from ..backends import Runtime
from ..errors import ModelError
from ..model_files.malformed import Malformed
from . import onnx_check, sandbox, tflite_check

_FORMAT_NAMES = {"tflite": "TFLite", "onnx": "ONNX"}


def check(
    content: bytes, *, runtime: Runtime, path: Path, threads: int, in_child: bool = True
) -> None:
    """Refuse a file that is broken, or that would end the process that loads it.

    Args:
        content: the file's bytes.
        runtime: the runtime that will load it.
        path: where the file lies.
        threads: threads that the runtime will use.
        in_child: try a file that is not known to be safe in a child process.

    Raises:
        ModelError: it is such a file.
    """
    try:
        if not _is_known_safe(content, runtime.format, path) and in_child:
            sandbox.check(path, content, backend=runtime.backend, threads=threads)
    except Malformed as error:
        raise ModelError(
            f"Expected a sound {_FORMAT_NAMES[runtime.format]} model, got {path.name} with "
            f"{error}; {error.remedy}",
            code="model-malformed",
        ) from error


def _is_known_safe(content: bytes, format: str, path: Path) -> bool:
    if format == "tflite":
        return tflite_check.check(content)
    return onnx_check.check(content, path)
