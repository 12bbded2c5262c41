"""Arguments of the command line in, pictures to read out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ..errors import ImageError
from ..system.files import MAX_BYTES, PICTURES


def list_pictures(arguments: Iterable[str]) -> Iterator[tuple[str, str | bytes]]:
    """Yield each picture's name, and its path or content: files, folders, or - for stdin."""
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            if sys.stdin is None:
                raise ImageError("Expected a picture on standard input, got none: it is closed.")
            yield "-", read_standard_input(sys.stdin.buffer)
        elif path.is_dir():
            pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
            if not pictures:
                raise ImageError(f"Expected pictures in the folder {argument}, got none.")
            yield from ((str(picture), str(picture)) for picture in pictures)
        else:
            yield argument, argument


def read_standard_input(stream: IO[bytes]) -> bytes:
    """Return the content, unless it is larger than a picture may be."""
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ImageError(
            f"Expected a picture of at most {MAX_BYTES // 10**6} MB on standard input, got more; "
            f"make it smaller first."
        )
    return content
