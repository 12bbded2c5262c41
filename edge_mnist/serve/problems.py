"""Errors as problem+json (RFC 9457), in the words of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from ..errors import EdgeMnistError, ServeError

MEDIA_TYPE = "application/problem+json"
# Clients of the Open Inference Protocol look for the message under `error`.
_PROTOCOL = "/v2"


class RequestError(ServeError):
    """A request that is refused, with the HTTP status that says so."""

    def __init__(
        self, message: str, status: HTTPStatus, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class UnreadError(RequestError):
    """A refusal after which the connection is of no use: its body was not read to the end."""

    def __init__(self, message: str, status: HTTPStatus) -> None:
        super().__init__(message, status, headers={"Connection": "close"})


def busy(what: str, **headers: str) -> RequestError:
    """Return the answer of a server that has as much to do as it takes."""
    return RequestError(
        f"Expected room for one request more, got {what}; try again in a second.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        headers={"Retry-After": "1", **headers},
    )


def response(error: EdgeMnistError, path: str) -> JSONResponse:
    """Return what a request for `path` is answered with; a bad picture or model name is a 422."""
    if isinstance(error, RequestError):
        return document(error.status, str(error), type(error).__name__, path, error.headers)
    return document(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), type(error).__name__, path)


def document(
    status: int, detail: str, code: str, path: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return a problem; `code` is the class of the error, for programs to tell them apart."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": " ".join(detail.split()),
        "code": code,
    }
    if path.startswith(_PROTOCOL):
        content["error"] = content["detail"]
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)
