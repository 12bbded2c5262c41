"""The socket, the signals, and connections that are slow on purpose."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import ServeError
from . import app, benchmarks
from .limits import Limits
from .models import Source

# What a browser on the same machine calls it by.
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
# Of what can be typed, this cannot be guessed over a network.
_LEAST_TOKEN = 16


@dataclass(frozen=True)
class Place:
    """Where to listen, and who may ask; no token means that one is made where it is needed."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    origins: tuple[str, ...] = ()


def serve(source: Source, place: Place, *, benchmark: Path | None, log: bool) -> None:
    """Serve until a signal says to stop; requests in flight are answered first.

    Raises:
        ServeError: the address is taken or none of this machine's, or the token is too short.
        EdgeMnistError: the model cannot be loaded.
    """
    settings = settle(place, benchmark=benchmark, log=log)
    if benchmark is not None:
        benchmarks.read(benchmark)
    service = app.Service(source, settings)
    for refusal in service.models.refusals:
        app.say(f"edge-mnist: warning: {refusal}")
    with _listen(place) as listener:
        port = listener.getsockname()[1]
        made = settings.token if settings.token != place.token else None

        def announce() -> None:
            click.echo(f"Serving {service.models.place} on {_address(place.host, port, made)}")
            if made:
                app.say(f"The token, made for this run, is {made}; --token sets another.")

        _run(service, listener, announce)


def settle(place: Place, *, benchmark: Path | None, log: bool) -> app.Settings:
    """Return who may ask: on loopback this machine, beyond it who has the token."""
    if place.token is not None and len(place.token) < _LEAST_TOKEN:
        raise ServeError(
            f"Expected a token of {_LEAST_TOKEN} characters or more, got {len(place.token)}; "
            f"without --token a good one is made."
        )
    settings = app.Settings(place.token, None, place.origins, benchmark=benchmark, log=log)
    if _is_loopback(place.host):
        return replace(settings, hosts=_LOOPBACK | {place.host.lower()})
    return replace(settings, token=place.token or secrets.token_urlsafe(24))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address(host: str, port: int, token: str | None) -> str:
    """Return what to type into a browser; what follows # stays there, and is in no log."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/{f'#token={token}' if token else ''}"


def _listen(place: Place) -> socket.socket:
    try:
        found, *_ = socket.getaddrinfo(
            place.host,
            place.port,
            type=socket.SOCK_STREAM,
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_PASSIVE,
        )
        return _bound(*found)
    except (OSError, UnicodeError) as error:
        raise ServeError(
            f"Expected to listen on {place.host}, port {place.port}, got: "
            f"{getattr(error, 'strerror', None) or error}; choose another with --host and --port."
        ) from error


def _bound(family: int, type: int, protocol: int, _: str, address: Any) -> socket.socket:
    # Of a socket that names no protocol, as socket.create_server makes it, asyncio does not know
    # that it is TCP, and leaves Nagle's algorithm on: 40 ms for every answer.
    one = socket.socket(family, type, protocol)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address[0] == "::" and socket.has_dualstack_ipv6():
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(address)
        one.listen(512)
    except OSError:
        one.close()
        raise
    return one


def _run(service: app.Service, listener: socket.socket, announce: Callable[[], None]) -> None:
    limits = service.limits
    config = uvicorn.Config(
        app.build(service, partial(_life, announce)),
        http=patient(limits),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=limits.stop_s,
    )
    server = uvicorn.Server(config)

    def stop(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn takes these over, and raises them again once it has stopped: to be asked to stop is
    # no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])


@asynccontextmanager
async def _life(announce: Callable[[], None], service: app.Service) -> AsyncIterator[None]:
    """Reload on SIGHUP, one at a time; announce once every signal is taken."""
    turn = asyncio.Lock()
    running: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        async with turn:
            await service.reload()

    def start() -> None:
        task = asyncio.get_running_loop().create_task(reload())
        running.add(task)
        task.add_done_callback(running.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, start)
    announce()
    yield
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    await asyncio.gather(*running)


def patient(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's protocol with an end to its patience.

    uvicorn waits for ever for a request that has begun, and for a client that does not read.
    """

    class Patient(H11Protocol):
        _end: asyncio.TimerHandle | None = None
        _write_end: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
                return
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait()

        def _wait(self) -> None:
            """Give a request until then; what is being answered has limits of its own."""
            busy = self.cycle is not None and not self.cycle.response_complete
            if busy and self._end is not None:
                self._end.cancel()
                self._end = None
            elif not busy and self._end is None:
                self._end = self.loop.call_later(limits.headers_s, self.transport.abort)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._write_end = self.loop.call_later(limits.write_s, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._write_end is not None:
                self._write_end.cancel()
                self._write_end = None

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            for timer in (self._end, self._write_end):
                if timer is not None:
                    timer.cancel()

    return Patient
