"""Exceptions in; problem details for HTTP APIs (RFC 9457) out, worded as on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..errors import EdgeMnistError, ServeError

MEDIA_TYPE = "application/problem+json"
# nginx's status for a client that closed the connection before the answer.
CLIENT_CLOSED_REQUEST = 499
# Clients of the Open Inference Protocol read the message from the key `error`.
_PROTOCOL_PREFIX = "/v2"


class RequestError(ServeError):
    """A request that is refused.

    Args:
        message: expected, received, remedy, in one line.
        status: status of the answer.
        code: stable name of the cause.
        headers: further headers of the answer.
    """

    code = "request"

    def __init__(
        self,
        message: str,
        status: HTTPStatus,
        *,
        code: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.headers = dict(headers or {})


class UnreadError(RequestError):
    """A request that is refused before its body was read; the connection has to be closed."""

    code = "request-unread"

    def __init__(self, message: str, status: HTTPStatus, *, code: str) -> None:
        super().__init__(message, status, code=code, headers={"Connection": "close"})


def overload_error(got: str, *, code: str, **headers: str) -> RequestError:
    """Return the error of a server at its limits; `got` names the limit that was reached."""
    return RequestError(
        f"Expected a server with spare capacity, got {got}; try again in a second.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        code=code,
        headers={"Retry-After": "1", **headers},
    )


def error_response(error: Exception, path: str) -> JSONResponse:
    """Return the answer to a request for `path`.

    The status is that of a RequestError, 422 for another EdgeMnistError, and 500 for a bug.
    """
    status, detail, headers = HTTPStatus.UNPROCESSABLE_ENTITY, str(error), dict[str, str]()
    if isinstance(error, RequestError):
        status, headers = error.status, error.headers
    elif not isinstance(error, EdgeMnistError):
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        detail = "Expected an answer, got an internal error; see the server's log."
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": " ".join(detail.split()),
        "code": type(error).__name__,
    }
    if path.startswith(_PROTOCOL_PREFIX):
        content["error"] = content["detail"]
    return JSONResponse(content, status, headers, MEDIA_TYPE)


async def _on_error(request: Request, error: Exception) -> Response:
    return error_response(error, request.url.path)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    detail = f"Expected a path and method of /openapi.json, got {request.method} {path!r:.80}."
    status = HTTPStatus(error.status_code)
    return error_response(
        RequestError(detail, status, code="request-route", headers=error.headers), path
    )


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return PlainTextResponse("", CLIENT_CLOSED_REQUEST)


# For Starlette's `exception_handlers`.
EXCEPTION_HANDLERS = {
    EdgeMnistError: _on_error,
    HTTPException: _on_http_exception,
    ClientDisconnect: _on_disconnect,
    Exception: _on_error,
}
