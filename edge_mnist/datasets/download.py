"""Download MNIST: file names in; the checked files, from a public mirror, in the cache folder.

All mirrors are probed at once and used in the order in which they respond. A file gets its final
name only when it is complete and checked. A transfer that breaks or stalls leaves a part file.
The next attempt resumes it, at the same mirror or at another.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..errors import DataError
from ..system.progress import Progress
from ..system.temporary import locked
from .idx import ContentError, MnistFile, describe, join_names, read_content

if TYPE_CHECKING:
    from http.client import HTTPResponse

MIRRORS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
VARIABLE = "EDGE_MNIST_DATA"
# Seconds to wait for a mirror's response. A machine without a network gets the drawn digits within
# 15 s, the time to draw them included.
ANSWER_S = 8.0
# Seconds without a byte, after which a transfer is given up.
STALL_S = 10.0
# Minimum average speed after STALL_S: a socket's time-out alone never ends a trickle of bytes.
MIN_BYTES_PER_S = 1024
TRIES = 5  # per file and mirror


# A mirror, and the reason why it cannot be used or None.
_Answers: TypeAlias = "queue.SimpleQueue[tuple[str, str | None]]"


class UnavailableError(DataError):
    """MNIST is neither in the cache nor at a mirror; `tried` maps each place to the reason."""

    def __init__(self, tried: dict[str, str]) -> None:
        self.tried = tried
        reasons = "; ".join(f"{place}: {reason}" for place, reason in tried.items())
        super().__init__(
            f"Expected MNIST in the cache or at a mirror, got none ({reasons}); connect to a "
            f"network once, or set {VARIABLE} or --data to a folder that holds MNIST",
            code="data-unavailable",
        )


def download_files(files: Sequence[MnistFile], cache: Path) -> None:
    """Download `files` into the folder `cache`. If a mirror fails, the next one continues.

    Raises:
        UnavailableError: the folder cannot be created, or no mirror gives all the files.
    """
    from http.client import HTTPException

    tried = {str(cache): f"no usable {join_names(files)}"}
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError({str(cache): f"cannot be made ({describe(error)})"}) from error
    left = list(files)
    for mirror in _responding_mirrors(left[0], tried):
        _echo(f"Downloading MNIST from {mirror} to {cache}")
        try:
            while left:
                _download_file(mirror, left[0], cache)
                del left[0]
            return
        except (OSError, HTTPException, ContentError) as error:
            tried[mirror] = f"{left[0].archive}: {describe(error)}"
            _echo(f"edge-mnist: warning: {mirror} failed: {tried[mirror]}")
    raise UnavailableError(tried)


def _echo(text: str) -> None:
    import click

    click.echo(text, err=True)


def _responding_mirrors(file: MnistFile, tried: dict[str, str]) -> Iterator[str]:
    """Yield mirrors as they respond within ANSWER_S; put the other mirrors' reasons into `tried`.

    The probes run in threads because a name server that drops packets blocks getaddrinfo for
    longer than any socket time-out. They are daemons so that they do not delay the exit.
    """
    answers: _Answers = queue.SimpleQueue()
    for mirror in MIRRORS:
        tried[mirror] = f"no answer within {ANSWER_S:g} s"
        threading.Thread(target=_probe, args=(mirror, file, answers), daemon=True).start()
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


def _probe(mirror: str, file: MnistFile, answers: _Answers) -> None:
    from http.client import HTTPException

    try:
        with _request(mirror + file.archive, method="HEAD", timeout_s=ANSWER_S):
            answers.put((mirror, None))
    except TimeoutError:
        pass  # As slow as the deadline: it gave no answer.
    except (OSError, HTTPException, ValueError) as error:
        answers.put((mirror, describe(error)))


def _download_file(mirror: str, file: MnistFile, cache: Path) -> None:
    """Download `file` into the cache, or leave a part file for the next attempt."""
    final = cache / file.archive
    with _claimed_part(final) as part:
        try:
            _complete(mirror + file.archive, part, file)
            part.replace(final)
        finally:
            with suppress(FileNotFoundError):
                if not part.stat().st_size:
                    part.unlink()
    for abandoned in _parts(final):
        with suppress(FileNotFoundError), locked(abandoned) as held:
            if held:
                abandoned.unlink()


@contextmanager
def _claimed_part(final: Path) -> Iterator[Path]:
    """Yield a part file that only this process writes to: one that was left behind, or a new one.

    It is locked. The lock ends with the process, however that ends.
    """
    with ExitStack() as stack:
        yield _claim_part(final, stack)


def _claim_part(final: Path, stack: ExitStack) -> Path:
    for part in _parts(final):
        with suppress(FileNotFoundError):
            if stack.enter_context(locked(part)):
                return part
    part = final.with_name(f"{final.name}.{secrets.token_hex(4)}.part")
    part.touch(exist_ok=False)
    stack.enter_context(locked(part))
    return part


def _parts(final: Path) -> list[Path]:
    return sorted(final.parent.glob(f"{final.name}*.part"))


def _complete(url: str, part: Path, file: MnistFile) -> None:
    """Complete `part` and check it. A resumed part with bad content is downloaded again, once."""
    resumed = part.stat().st_size > 0
    try:
        _transfer_with_retries(url, part, file)
        read_content(part, file)
    except ContentError:
        part.write_bytes(b"")
        if not resumed:
            raise
        _complete(url, part, file)


def _transfer_with_retries(url: str, part: Path, file: MnistFile) -> None:
    """Transfer, and resume after a broken connection as long as each try adds bytes."""
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
    """Append the missing bytes to `part`, or restart if the server cannot resume."""
    offset = part.stat().st_size
    with (
        _request(url, timeout_s=STALL_S, offset=offset) as response,
        part.open("r+b") as stream,
    ):
        start = stream.seek(_body_start(response, offset))
        stream.truncate()
        size = None if response.length is None else start + response.length
        with _progress_bar(file.archive, start, size) as advance:
            for chunk in _chunks(response):
                stream.write(chunk)
                advance(len(chunk))
                # A gzip file is at most slightly larger than its content.
                if stream.tell() > file.size_bytes + 1024:
                    raise ContentError(f"more than the {file.size_bytes} bytes of {file.name}")
        if size is not None and stream.tell() < size:
            raise ConnectionError(f"the connection broke after {stream.tell()} of {size} bytes")


def _request(url: str, *, timeout_s: float, method: str = "GET", offset: int = 0) -> HTTPResponse:
    """Send one request for the bytes from `offset` on. ConnectionError names an HTTP status."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    headers = {"User-Agent": "edge-mnist", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        response: HTTPResponse = urlopen(
            Request(url, headers=headers, method=method), timeout=timeout_s
        )
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # the part is longer than the file
            return _request(url, timeout_s=timeout_s, method=method)
        raise ConnectionError(f"HTTP {error.code} {error.reason}") from error
    return response


def _body_start(response: HTTPResponse, asked: int) -> int:
    """Return the body's first position: `asked`, or 0 from a server that ignores Range."""
    if response.status != 206:
        return 0
    granted = response.headers.get("Content-Range", "")
    if not granted.startswith(f"bytes {asked}-"):
        raise ConnectionError(f"asked for the bytes from {asked} on, got {granted or 'others'}")
    return asked


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """Yield the body in chunks. TimeoutError if the average speed is below the minimum."""
    began, received = time.monotonic(), 0
    while chunk := response.read1(2**16):
        yield chunk
        received += len(chunk)
        if received < MIN_BYTES_PER_S * (time.monotonic() - began - STALL_S):
            raise TimeoutError(f"slower than {MIN_BYTES_PER_S} bytes a second")


@contextmanager
def _progress_bar(label: str, start: int, size: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr if it is a terminal and the size is known."""
    received = start

    def advance(size_bytes: int) -> None:
        nonlocal received
        received += size_bytes
        if size:
            show(received / size, "")

    with Progress().bar(label) as show:
        advance(0)
        yield advance
