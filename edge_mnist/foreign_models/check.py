"""A model file that nobody vouches for in, an error out if it could harm the process that loads it.

A bundle's manifest proves that its files are whole, and not who made them. The bytes of a file are
checked first, in about two milliseconds. A file that is not known to be safe is then loaded and run
in a child process. SECURITY.md has the details.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ModelError
from ..model_files.malformed import Malformed

if TYPE_CHECKING:
    from ..backends import Runtime
    from ..bundle import Artifact

_FORMAT_NAMES = {"tflite": "TFLite", "onnx": "ONNX"}


def check(
    artifact: Artifact, content: bytes, *, runtime: Runtime, threads: int, in_child: bool = True
) -> None:
    """Refuse a file that is broken, or that would end the process that loads it.

    Args:
        artifact: the file.
        content: its bytes.
        runtime: the runtime that will load it.
        threads: threads that the runtime will use.
        in_child: try a file that is not known to be safe in a child process.

    Raises:
        ModelError: it is such a file.
    """
    try:
        if not _is_known_safe(artifact, content) and in_child:
            # Imported late: the export's own files are known to be safe.
            from . import sandbox

            sandbox.check(artifact, content, backend=runtime.backend, threads=threads)
    except Malformed as error:
        raise ModelError(
            f"Expected a sound {_FORMAT_NAMES[artifact.format]} model, got {artifact.name} with "
            f"{error}; {error.remedy}",
            code="model-malformed",
        ) from error


def _is_known_safe(artifact: Artifact, content: bytes) -> bool:
    if artifact.format == "tflite":
        from . import tflite_check

        return tflite_check.check(content)
    from . import onnx_check

    return onnx_check.check(content, artifact.file)
