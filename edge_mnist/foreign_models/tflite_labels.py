"""The little of a `.tflite` file that its runtimes do not tell, read from its bytes."""

from __future__ import annotations

import io
import zipfile
import zlib

# A thousand classes with long names; an archive may claim to hold anything.
_MOST_LABEL_BYTES = 100_000


def labels(content: bytes) -> tuple[str, ...]:
    """Return the lines of the label file in the ZIP archive behind a model; nothing without one.

    TFLite Metadata packs it there: https://ai.google.dev/edge/litert/models/metadata
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if "label" in name.lower()]
            if len(names) != 1:
                return ()
            with archive.open(names[0]) as file:
                return tuple(file.read(_MOST_LABEL_BYTES).decode().splitlines())
    # RuntimeError is of an archive that is encrypted, or packed in a way not known here.
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError):
        return ()
