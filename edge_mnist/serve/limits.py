"""How much a request may bring, how long it may take, and how many there may be at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from .problems import RequestError, UnreadError, busy

if TYPE_CHECKING:
    from starlette.requests import Request

Answer = TypeVar("Answer")
_LINGER_S = 1.0


@dataclass(frozen=True)
class Limits:
    """What the server takes. Times are in seconds, sizes in bytes.

    Pixels: a picture of 25 megapixels takes 75 MB to unpack, and `workers` are unpacked at once.
    """

    body_bytes: int = 8_000_000
    held_bytes: int = 64_000_000
    pixels: int = 25_000_000
    images: int = 1024
    queue: int = 64
    workers: int = 2
    connections: int = 400
    headers_s: float = 10.0
    body_s: float = 10.0
    body_bytes_per_s: float = 50_000.0
    predict_s: float = 20.0
    write_s: float = 20.0
    stop_s: int = 20


class Held:
    """The bytes of all bodies that are in memory now."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.size_bytes = 0

    @contextlib.contextmanager
    def some(self) -> Iterator[Callable[[int], None]]:
        """Yield what adds bytes, and take them off again at the end.

        Raises:
            RequestError: there would be more than the limit; the body is then left unread.
        """
        mine = 0

        def add(count: int) -> None:
            nonlocal mine
            if self.size_bytes + count > self._limit_bytes:
                what = f"{self.size_bytes / 1e6:.0f} MB of pictures waiting already"
                raise busy(what, Connection="close")
            mine += count
            self.size_bytes += count

        try:
            yield add
        finally:
            self.size_bytes -= mine


async def read_body(request: Request, limits: Limits, add: Callable[[int], None]) -> bytes:
    """Return a request's body; `add` is told of every piece before it is kept.

    Raises:
        RequestError: it is too large, or comes too slowly: later than `body_s` and what its bytes
            so far take at `body_bytes_per_s`.
        ClientDisconnect: the sender has gone.
    """
    coding = request.headers.get("content-encoding", "identity")
    if coding != "identity":
        raise UnreadError(
            f"Expected a body without Content-Encoding, got {coding[:40]!r}; send it as it is.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    body = bytearray()
    # h11 has checked that it is a number.
    too_large = int(request.headers.get("content-length", 0)) > limits.body_bytes
    patience = asyncio.get_running_loop().time() + limits.body_s
    try:
        async with asyncio.timeout_at(patience) as deadline:
            async for piece in request.stream():
                too_large = too_large or len(body) + len(piece) > limits.body_bytes
                if too_large:
                    await _discard(request)
                    raise _too_large(limits)
                add(len(piece))
                body += piece
                deadline.reschedule(patience + len(body) / limits.body_bytes_per_s)
    except TimeoutError as error:
        raise UnreadError(
            f"Expected a body within {limits.body_s:g} seconds, got {len(body)} bytes of it; "
            f"send it faster.",
            HTTPStatus.REQUEST_TIMEOUT,
        ) from error
    return bytes(body)


async def _discard(request: Request) -> None:
    """Read on for a moment: a client that is still sending would not see the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while (await request.receive()).get("more_body"):
                pass


def _too_large(limits: Limits) -> UnreadError:
    return UnreadError(
        f"Expected a body of at most {limits.body_bytes:,} bytes, got more; make the picture "
        f"smaller, or send fewer at once.",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )


class Queue:
    """Worker threads, and the requests that wait for one: no more than a limit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="predict")
        self._lock = threading.Lock()
        self.depth = 0

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do some work in a thread, and return what it returns.

        Raises:
            RequestError: too many wait already, or it took too long.
        """
        if self.depth >= self._limits.queue:
            raise busy(f"{self.depth} waiting already")
        with self._lock:
            self.depth += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._left)
        try:
            async with asyncio.timeout(self._limits.predict_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise busy(f"no answer within {self._limits.predict_s:g} seconds") from error

    def _left(self, _: Future[Answer]) -> None:
        # What has timed out counts until its thread is free again.
        with self._lock:
            self.depth -= 1

    def close(self) -> None:
        """End the threads, once they have done what they were given."""
        self._pool.shutdown(wait=True)


def refuse_many(count: int, limits: Limits) -> None:
    """Raise RequestError where a request brings too many images."""
    if count > limits.images:
        raise RequestError(
            f"Expected at most {limits.images} images in a request, got {count}; send them in "
            f"several.",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
