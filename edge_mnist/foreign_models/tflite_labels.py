"""Labels packed into a `.tflite` file, which its runtimes do not report."""

from __future__ import annotations

import io
import zipfile
import zlib

# Bytes that are read: a thousand classes with long names. A compressed archive may unpack to any
# size.
_MOST_LABEL_BYTES = 100_000


def labels(content: bytes) -> tuple[str, ...]:
    """Return the lines of the label file in the ZIP archive behind a model; () without one.

    TFLite Metadata packs it there: https://ai.google.dev/edge/litert/models/metadata
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if "label" in name.lower()]
            if len(names) != 1:
                return ()
            with archive.open(names[0]) as file:
                return tuple(file.read(_MOST_LABEL_BYTES).decode().splitlines())
    # RuntimeError: the archive is encrypted, or packed by an unknown method.
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError):
        return ()
