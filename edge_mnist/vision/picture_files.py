"""Command-line arguments in, the pictures that they name out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ..errors import ImageError
from .decode import MAX_PICTURE_BYTES, PICTURE_SUFFIXES


def list_pictures(arguments: Iterable[str]) -> Iterator[tuple[str, str | bytes]]:
    """Yield the name of each picture, and its path or encoded bytes.

    Args:
        arguments: files, folders whose pictures are listed by name, or "-" for standard input.

    Raises:
        ImageError: a folder without pictures; standard input that is closed or too long.
    """
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            yield "-", read_standard_input(sys.stdin.buffer if sys.stdin else None)
        elif path.is_dir():
            pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
            if not pictures:
                raise ImageError(
                    f"Expected pictures in the folder {argument}, got none.", code="image-none"
                )
            yield from ((str(picture), str(picture)) for picture in pictures)
        else:
            yield argument, argument


def read_standard_input(stream: IO[bytes] | None) -> bytes:
    """Return the bytes of a picture on standard input.

    Args:
        stream: `sys.stdin.buffer`; None if standard input is closed. At most
            `MAX_PICTURE_BYTES` are read, as a stream may have no end.

    Raises:
        ImageError: the stream is closed or longer.
    """
    if stream is None:
        raise ImageError(
            "Expected a picture on standard input, got none: it is closed.", code="image-stdin"
        )
    content = stream.read(MAX_PICTURE_BYTES + 1)
    if len(content) > MAX_PICTURE_BYTES:
        raise ImageError(
            f"Expected a picture of at most {MAX_PICTURE_BYTES // 10**6} MB on standard input, "
            f"got more; make it smaller first.",
            code="image-too-large",
        )
    return content
