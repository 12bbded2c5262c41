"""MNIST from its public mirrors into the cache, whole or not at all.

The mirrors are asked at once and used in the order they answer. A transfer that breaks or
stalls leaves a part file, and the next attempt, at the same mirror or another, goes on from it.
"""

from __future__ import annotations

import os
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .mnist import ContentError, MnistFile, UnavailableError, checked_content, names, reason, say

if TYPE_CHECKING:
    from http.client import HTTPResponse

MIRRORS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# A machine without a network is to be told so within 15 s, the stand-in included.
ANSWER_S = 8.0
STALL_S = 10.0
# Below this average after STALL_S a transfer is given up: each byte resets a socket's time-out.
SLOWEST_BYTES_PER_S = 1024
TRIES = 5
# A transfer writes at least every STALL_S; a part file this old belongs to no process.
ABANDONED_S = 60.0


def download(files: Sequence[MnistFile], cache: Path) -> None:
    """Bring `files` into the cache from the first mirror that gives them, or the next."""
    from http.client import HTTPException

    tried = {str(cache): f"no usable {names(files)}"}
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError({str(cache): f"cannot be made ({reason(error)})"}) from error
    left = list(files)
    for mirror in _answering(left[0], tried):
        say(f"Downloading MNIST from {mirror} to {cache}")
        try:
            while left:
                _fetch(mirror, left[0], cache)
                del left[0]
            return
        except (OSError, HTTPException, ContentError) as error:
            tried[mirror] = f"{left[0].archive}: {reason(error)}"
            say(f"edge-mnist: warning: {mirror} failed: {tried[mirror]}")
    raise UnavailableError(tried)


def _answering(file: MnistFile, tried: dict[str, str]) -> Iterator[str]:
    """The mirrors as they answer, until ANSWER_S have passed; `tried` gets why others didn't.

    Asked in threads because a name server that drops packets holds getaddrinfo for longer
    than any socket time-out; daemons because such a thread must not hold up the exit.
    """
    answers: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
    for mirror in MIRRORS:
        tried[mirror] = f"no answer within {ANSWER_S:g} s"
        threading.Thread(target=_ask, args=(mirror, file, answers), daemon=True).start()
    deadline = time.monotonic() + ANSWER_S
    for _ in MIRRORS:
        try:
            mirror, refusal = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
        if refusal is None:
            yield mirror
        else:
            tried[mirror] = refusal


def _ask(mirror: str, file: MnistFile, answers: queue.SimpleQueue[tuple[str, str | None]]) -> None:
    from http.client import HTTPException

    try:
        with _open(mirror + file.archive, method="HEAD", timeout_s=ANSWER_S):
            answers.put((mirror, None))
    except (OSError, HTTPException, ValueError) as error:
        answers.put((mirror, reason(error)))


def _fetch(mirror: str, file: MnistFile, cache: Path) -> None:
    """Put `file` into the cache whole, or leave a part for the next attempt to go on from."""
    final = cache / file.archive
    part = _claim(final)
    try:
        _complete(mirror + file.archive, part, file)
        part.replace(final)
        for left in _abandoned(final):
            left.unlink(missing_ok=True)
    finally:
        with suppress(FileNotFoundError):
            if part.stat().st_size:
                part.replace(final.with_name(f"{final.name}.part"))
            else:
                part.unlink()


def _claim(final: Path) -> Path:
    """A part file that is this process's alone: an abandoned one, or a new one.

    Renaming is atomic, so of two processes that want the same part only one gets it.
    """
    own = final.with_name(f"{final.name}.{secrets.token_hex(4)}.part")
    for left in _abandoned(final):
        with suppress(FileNotFoundError):
            os.utime(left)  # before the new name shows: it must not look abandoned there
            return left.replace(own)
    own.touch(exist_ok=False)
    return own


def _abandoned(final: Path) -> list[Path]:
    """Part files of `final` that a process has handed back, or died over."""
    parts = []
    for part in final.parent.glob(f"{final.name}*.part"):
        with suppress(FileNotFoundError):
            age_s = time.time() - part.stat().st_mtime
            if part.name == f"{final.name}.part" or age_s > ABANDONED_S:
                parts.append(part)
    return parts


def _complete(url: str, part: Path, file: MnistFile) -> None:
    """Finish `part` and check it; a resumed one that proves bad is begun again, once."""
    resumed = part.stat().st_size > 0
    try:
        _persist(url, part, file)
        checked_content(part, file)
    except ContentError:
        part.write_bytes(b"")
        if not resumed:
            raise
        _complete(url, part, file)


def _persist(url: str, part: Path, file: MnistFile) -> None:
    """Transfer, going on from where a broken connection stopped as long as that gets further."""
    from http.client import HTTPException

    for attempt in range(1, TRIES + 1):
        before = part.stat().st_size
        try:
            return _transfer(url, part, file)
        except (OSError, HTTPException):
            if attempt == TRIES or part.stat().st_size <= before:
                raise
    return None


def _transfer(url: str, part: Path, file: MnistFile) -> None:
    """One request: append what `part` lacks, or begin anew where the server can't resume."""
    offset = part.stat().st_size
    with (
        _open(url, timeout_s=STALL_S, offset=offset) as response,
        part.open("r+b") as stream,
    ):
        start = stream.seek(_offset_granted(response, offset))
        stream.truncate()
        size = None if response.length is None else start + response.length
        with _progress(file.archive, start, size) as advance:
            for chunk in _chunks(response):
                stream.write(chunk)
                advance(len(chunk))
                # Compressed is smaller than plain, or hardly larger: more is not MNIST.
                if stream.tell() > file.size_bytes + 1024:
                    raise ContentError(f"more than the {file.size_bytes} bytes of {file.name}")
        if size is not None and stream.tell() < size:
            raise ConnectionError(f"the connection broke after {stream.tell()} of {size} bytes")


def _open(url: str, *, timeout_s: float, method: str = "GET", offset: int = 0) -> HTTPResponse:
    """The response to one request from `offset` on; ConnectionError bears a refusal's status."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "edge-mnist", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        response: HTTPResponse = urlopen(  # the caller closes it
            Request(url, headers=headers, method=method), timeout=timeout_s
        )
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # the part is longer than the file: begin anew
            return _open(url, timeout_s=timeout_s, method=method)
        raise ConnectionError(f"HTTP {error.code} {error.reason}") from error
    return response


def _offset_granted(response: HTTPResponse, asked: int) -> int:
    """Where the body begins: at `asked`, or at 0 from a server that does not know Range."""
    if response.status != 206:
        return 0
    granted = response.headers.get("Content-Range", "")
    if not granted.startswith(f"bytes {asked}-"):
        raise ConnectionError(f"asked for the bytes from {asked} on, got {granted or 'others'}")
    return asked


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """The body as it comes; TimeoutError where it comes to a crawl."""
    began, received = time.monotonic(), 0
    while chunk := response.read1(2**16):
        yield chunk
        received += len(chunk)
        if received < SLOWEST_BYTES_PER_S * (time.monotonic() - began - STALL_S):
            raise TimeoutError(f"slower than {SLOWEST_BYTES_PER_S} bytes a second")


@contextmanager
def _progress(label: str, start: int, size: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, only on a terminal and only where the size is known."""
    if size is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    import click

    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        bar.update(start)
        yield bar.update
