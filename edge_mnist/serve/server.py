"""The options of `edge-mnist serve` in; a listening server until SIGTERM, with reload on SIGHUP."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import click
import uvicorn
from starlette.applications import Starlette

from .address import base_url, listen
from .app import build_app
from .benchmark_panel import read_panel
from .connection_timeouts import TimeoutProtocol
from .log import log_line
from .models import ModelSource
from .service import Service
from .settings import ServerOptions, resolve_settings


def serve(
    source: ModelSource, options: ServerOptions, *, benchmark: Path | None, log: bool
) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered first.

    Args:
        source: the models to serve.
        options: the address and who may send requests.
        benchmark: file for the page's panel; None shows the newest in the working folder.
        log: whether to log each request.

    Raises:
        ServeError: the address is in use or not of this machine, or the token is too short.
        DataError: `benchmark` is not a benchmark file.
        EdgeMnistError: the default model cannot be loaded.
    """
    settings = resolve_settings(options, benchmark=benchmark, log=log)
    if benchmark is not None:
        read_panel(benchmark)  # Raises before the server starts.
    service = Service(source, settings)
    log_line(f"Model: {service.models.origin}")
    for error in service.models.load_errors:
        log_line(f"edge-mnist: warning: {error}")
    with listen(options) as listener:
        port = listener.getsockname()[1]
        generated_token = settings.token if settings.token != options.token else None

        def announce() -> None:
            url = _url(options.host, port, generated_token)
            click.echo(f"Serving {service.models.bundle} on {url}")
            if generated_token:
                log_line(f"The token for this run is {generated_token}; --token sets another.")

        _run(service, listener, announce)


def _url(host: str, port: int, token: str | None) -> str:
    """Return the URL for a browser, which keeps the part after # out of requests and logs."""
    return base_url(host, port) + (f"#token={token}" if token else "")


def _run(service: Service, listener: socket.socket, announce: Callable[[], None]) -> None:
    config = uvicorn.Config(
        build_app(service, partial(_lifespan, service, announce)),
        http=TimeoutProtocol.with_limits(service.limits),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=service.limits.stop_s,
    )
    server = uvicorn.Server(config)

    def stop(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn replaces these handlers while it runs, and raises the signal again after it has
    # stopped. With them the process then exits with status 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])


@asynccontextmanager
async def _lifespan(
    service: Service, announce: Callable[[], None], _: Starlette
) -> AsyncIterator[None]:
    """Reload on SIGHUP, one reload at a time; call `announce` when all signals are handled."""
    loop, lock = asyncio.get_running_loop(), asyncio.Lock()
    running: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        async with lock:
            await service.reload()

    def start() -> None:
        task = loop.create_task(reload())
        running.add(task)
        task.add_done_callback(running.discard)

    loop.add_signal_handler(signal.SIGHUP, start)
    announce()
    yield
    loop.remove_signal_handler(signal.SIGHUP)
    await asyncio.gather(*running)
    service.queue.close()
