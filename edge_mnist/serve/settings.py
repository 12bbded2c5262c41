"""The options of `edge-mnist serve` in; who may send requests, and the limits on them, out."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ServeError

# Host names by which a browser on the same machine may address the server.
_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
# Minimum number of characters; 16 hexadecimal digits hold 64 random bits.
_MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True)
class Limits:
    """Bounds on requests and connections; seconds end in `_s`, bytes in `_bytes`."""

    body_bytes: int = 8_000_000  # One request body.
    held_bytes: int = 64_000_000  # All request bodies in memory together.
    pixels: int = 25_000_000  # One picture: 75 MB as RGB, in each of the `workers`.
    images: int = 1024  # In one request.
    queue: int = 64  # Requests that wait or are being worked on.
    workers: int = 2  # Threads that run the models.
    connections: int = 400
    headers_s: float = 10.0  # From a connection or an answer to the next complete headers.
    body_s: float = 10.0  # A request body, and a second more for each `body_bytes_per_s`.
    body_bytes_per_s: float = 50_000.0
    predict_s: float = 20.0  # From a complete body to its answer.
    write_s: float = 20.0  # How long a client may leave an answer unread.
    stop_s: int = 20  # How long requests in flight may take after SIGTERM.


@dataclass(frozen=True)
class ServerOptions:
    """The address to listen on, and the access that the user asked for."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None  # None generates a token unless `host` is loopback.
    origins: tuple[str, ...] = ()  # Foreign pages with access, such as "https://example.org".


@dataclass(frozen=True)
class Settings:
    """The access rules, limits and outputs of one service."""

    token: str | None = None  # Bearer token that a request must carry; None requires none.
    # Accepted host names, None for any. On loopback, another name is a sign of DNS rebinding:
    # a foreign page whose name resolves to this machine.
    hosts: frozenset[str] | None = None
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    benchmark: Path | None = None  # For the page; None shows the newest in the working folder.
    log: bool = True  # Whether to log each request.


def resolve_settings(options: ServerOptions, *, benchmark: Path | None, log: bool) -> Settings:
    """Return the settings: local names only on loopback, and a token on any other address.

    Raises:
        ServeError: the token is too short.
    """
    if options.token is not None and len(options.token) < _MIN_TOKEN_LENGTH:
        raise ServeError(
            f"Expected a token of {_MIN_TOKEN_LENGTH} characters or more, got "
            f"{len(options.token)}; choose a longer one, or omit --token to have one generated.",
            code="serve-token",
        )
    settings = Settings(options.token, None, options.origins, benchmark=benchmark, log=log)
    if _is_loopback(options.host):
        return replace(settings, hosts=_LOOPBACK_NAMES | {options.host.lower()})
    return replace(settings, token=options.token or secrets.token_urlsafe(24))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
