"""Middleware for every request: security headers, log and metrics, and access control."""

from __future__ import annotations

import hmac
import time
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .log import log_line
from .metrics import Metrics
from .problem_details import CLIENT_CLOSED_REQUEST, RequestError, error_response
from .security_headers import SECURITY_HEADERS
from .settings import Settings


class RequestLog:
    """ASGI middleware that counts and logs each request and adds security headers to its answer.

    The log holds the status, the body's size and the time, and nothing else of a request.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, log: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        size_bytes, status = 0, CLIENT_CLOSED_REQUEST

        async def counting_receive() -> Message:
            nonlocal size_bytes
            message = await receive()
            size_bytes += len(message.get("body", b""))
            return message

        async def securing_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        try:
            await self._app(scope, counting_receive, securing_send)
        finally:
            time_s = time.perf_counter() - start
            self._metrics.requests.labels(code=status).inc()
            self._metrics.request_bytes.inc(size_bytes)
            self._metrics.request_seconds.observe(time_s)
            if self._log:
                log_line(f"{status} {size_bytes} bytes {time_s * 1000:.1f} ms")


class AccessControl:
    """ASGI middleware that checks the host name, the origin and the bearer token of a request.

    Args:
        settings: `hosts`, `origins` and `token` apply.
        public_paths: paths that need no token.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, public_paths: frozenset[str]) -> None:
        self._app = app
        self._settings = settings
        self._public_paths = public_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                self._check_host(headers.get("host", ""))
                self._check_origin(headers.get("origin"), headers.get("host", ""))
                if scope["path"] not in self._public_paths:
                    self._check_token(headers.get("authorization", ""))
            except RequestError as error:
                await error_response(error, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_host(self, host: str) -> None:
        allowed = self._settings.hosts
        if allowed is not None and _hostname(f"//{host}") not in allowed:
            raise RequestError(
                f"Expected one of the host names {', '.join(sorted(allowed))}, got {host!r:.80}; "
                f"open the server by one of these names.",
                HTTPStatus.MISDIRECTED_REQUEST,
                code="request-host",
            )

    def _check_origin(self, origin: str | None, host: str) -> None:
        is_own = origin is None or urlsplit(origin).netloc == host
        if not is_own and origin not in self._settings.origins:
            raise RequestError(
                "Expected a request from this server's own page, got one from another origin; "
                "start the server with --allow-origin to allow it.",
                HTTPStatus.FORBIDDEN,
                code="request-origin",
            )

    def _check_token(self, header: str) -> None:
        token = self._settings.token
        if token is None or hmac.compare_digest(header.encode(), f"Bearer {token}".encode()):
            return
        raise RequestError(
            "Expected the header Authorization: Bearer TOKEN, got none or another token; use the "
            "value of --token, or the token that the server printed when it started.",
            HTTPStatus.UNAUTHORIZED,
            code="request-token",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
