"""Limits in; a uvicorn protocol that closes slow and surplus connections out.

uvicorn itself waits without end for the rest of a request, and for a client that does not read.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from .settings import Limits


class TimeoutProtocol(H11Protocol):
    """uvicorn's HTTP protocol with the limits `connections`, `headers_s` and `write_s`."""

    limits: ClassVar[Limits]
    _read_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    @classmethod
    def with_limits(cls, limits: Limits) -> type[H11Protocol]:
        """Return a subclass for uvicorn, which creates an instance for each connection."""
        return type(cls.__name__, (cls,), {"limits": limits})

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._update_read_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_read_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update_read_timer()

    def _update_read_timer(self) -> None:
        """Run the timer between answers; a request with complete headers has other limits."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        elif not is_answering and self._read_timer is None:
            self._read_timer = self.loop.call_later(self.limits.headers_s, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.limits.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._read_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
