"""edge-mnist serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ServeError
from ..system import install
from .options import (
    FILE,
    backend_option,
    check_latest,
    latest_option,
    model_option,
    scaling_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..bundle.model_spec import Scaling


@click.command(
    short_help="A page to draw a digit on, and an API.",
    epilog="\b\nExamples:\n  edge-mnist serve\n  edge-mnist serve --host 0.0.0.0 --port 8080",
)
@model_option
@latest_option
@backend_option("all that are installed")
@scaling_options
@trust_option
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for all networks.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--token",
    envvar="EDGE_MNIST_TOKEN",
    show_envvar=True,
    help="Required of every request.  [default: none; made up with another --host]",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Allow a page of another origin, such as https://example.org.",
)
@click.option("--benchmark", type=FILE, help="A file of `benchmark --json`.  [default: newest]")
@click.option("-q", "--quiet", is_flag=True, help="Log no requests.")
def serve(
    model: str | None,
    latest: bool,
    backend: str | None,
    scaling: Scaling | None,
    trust: tuple[str, ...] | None,
    host: str,
    port: int,
    token: str | None,
    origins: tuple[str, ...],
    benchmark: Path | None,
    quiet: bool,
) -> None:
    """Serve a page to draw a digit on, a JSON API and the Open Inference Protocol.

    Only this machine can connect. With --host, other machines can, if they have the token. Pictures
    are never stored. SIGHUP loads the model again, SIGTERM stops.
    """
    from importlib.util import find_spec

    check_latest(latest, model)
    needed = ("prometheus_client", "starlette", "uvicorn")
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ServeError(
            f"Expected {' and '.join(missing)} to serve with, got none installed; install with: "
            f"{install.extra('serve')}",
            code="serve-missing",
        )
    from ..serve.models import ModelSource
    from ..serve.server import serve as run_server
    from ..serve.settings import ServerOptions

    run_server(
        ModelSource(model, latest=latest, backend=backend, scaling=scaling, trust=trust),
        ServerOptions(host, port, token, origins),
        benchmark=benchmark,
        log=not quiet,
    )
