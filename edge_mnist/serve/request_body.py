"""A request in; its body as bytes out, within limits on size, time and memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from http import HTTPStatus

from starlette.requests import Request

from .problem_details import UnreadError, overload_error
from .settings import Limits

# Seconds for which the rest of an oversized body is read and dropped.
_DISCARD_S = 1.0


class MemoryBudget:
    """The size of all request bodies in memory, with an upper bound of `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.size_bytes = 0

    @contextlib.contextmanager
    def reserve(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves further bytes; release all of them at the end.

        Raises:
            RequestError: the limit would be exceeded. The body is then left unread.
        """
        reserved = 0

        def add(count: int) -> None:
            nonlocal reserved
            if self.size_bytes + count > self._limit_bytes:
                got = f"{self.size_bytes / 1e6:.0f} MB of pictures already in memory"
                raise overload_error(got, code="request-memory", Connection="close")
            reserved += count
            self.size_bytes += count

        try:
            yield add
        finally:
            self.size_bytes -= reserved


async def read_body(request: Request, limits: Limits, reserve: Callable[[int], None]) -> bytes:
    """Return the body of a request.

    Args:
        limits: `body_bytes`, `body_s` and `body_bytes_per_s` apply.
        reserve: called with the size of each chunk before the chunk is kept.

    Raises:
        RequestError: the body is compressed, too large or too slow, or memory is short.
        ClientDisconnect: the client has closed the connection.
    """
    coding = request.headers.get("content-encoding", "identity")
    if coding != "identity":
        raise UnreadError(
            f"Expected a body without Content-Encoding, got {coding[:40]!r}; send it uncompressed.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            code="request-encoding",
        )
    body = bytearray()
    # h11 has checked that the header is a number.
    too_large = int(request.headers.get("content-length", 0)) > limits.body_bytes
    end = asyncio.get_running_loop().time() + limits.body_s
    try:
        async with asyncio.timeout_at(end) as deadline:
            async for chunk in request.stream():
                if too_large or len(body) + len(chunk) > limits.body_bytes:
                    await _discard(request)
                    raise _too_large(limits)
                reserve(len(chunk))
                body += chunk
                deadline.reschedule(end + len(body) / limits.body_bytes_per_s)
    except TimeoutError as error:
        raise UnreadError(
            f"Expected a body within {limits.body_s:g} seconds, got {len(body)} bytes of it; "
            f"send it faster.",
            HTTPStatus.REQUEST_TIMEOUT,
            code="request-slow",
        ) from error
    return bytes(body)


async def _discard(request: Request) -> None:
    """Read on for a moment: a client that is still sending would not read the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            while (await request.receive()).get("more_body"):
                pass


def _too_large(limits: Limits) -> UnreadError:
    return UnreadError(
        f"Expected a body of at most {limits.body_bytes:,} bytes, got more; make the picture "
        f"smaller, or send fewer pictures at once.",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        code="request-size",
    )
