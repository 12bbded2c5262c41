"""The address that the user asked for in; a listening socket and a URL out."""

from __future__ import annotations

import socket
from typing import Any

from ..errors import ServeError
from .settings import ServerOptions


def listen(options: ServerOptions) -> socket.socket:
    """Return a socket that listens on the address.

    Raises:
        ServeError: the address is in use, or not of this machine.
    """
    try:
        address, *_ = socket.getaddrinfo(
            options.host,
            options.port,
            type=socket.SOCK_STREAM,
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_PASSIVE,
        )
        return _bind(*address)
    except (OSError, UnicodeError) as error:
        raise ServeError(
            f"Expected to listen on {options.host}, port {options.port}, got: "
            f"{getattr(error, 'strerror', None) or error}; choose another with --host and --port.",
            code="serve-address",
        ) from error


def base_url(host: str, port: int) -> str:
    """Return the URL by which a browser reaches the server, ending with a slash."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def _bind(family: int, type: int, protocol: int, _: str, address: Any) -> socket.socket:
    # Not socket.create_server: its sockets have protocol 0. asyncio does not recognize these as
    # TCP and leaves Nagle's algorithm on, which delays every answer by 40 ms.
    listener = socket.socket(family, type, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address[0] == "::" and socket.has_dualstack_ipv6():
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener
