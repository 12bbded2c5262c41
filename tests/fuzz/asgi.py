"""The server's application, called without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from edge_mnist.serve.app import build_app
from edge_mnist.serve.models import ModelSource
from edge_mnist.serve.service import Service
from edge_mnist.serve.settings import Settings


class Answered(NamedTuple):
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes


class Caller:
    """An application with one model."""

    def __init__(self, model: str, *, backend: str | None = None) -> None:
        self._app = build_app(Service(ModelSource(model, backend=backend), Settings(log=False)))
        self._loop = asyncio.new_event_loop()

    def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answered:
        """Return the answer to one request."""
        return self._loop.run_until_complete(self._call(method, path, headers, body))

    def __del__(self) -> None:
        self._loop.close()

    async def _call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answered:
        name, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": name,
            "raw_path": name.encode(),
            "query_string": query.encode(),
            "headers": [
                (k.lower().encode(), v.encode("latin-1", "replace")) for k, v in headers.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start, *rest = sent
        fields = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return Answered(start["status"], fields, b"".join(one.get("body", b"") for one in rest))


def check_answer(answer: Answered) -> None:
    """Check that an answer is whole: JSON without NaN, and problem details of one line."""
    assert answer.status < 500 or answer.status == 503, answer
    assert answer.body or 300 <= answer.status < 400, "an answer of no bytes"
    if "json" not in answer.headers.get("content-type", ""):
        return

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} as JSON")

    document = json.loads(answer.body, parse_constant=refuse)
    if answer.status >= 400:
        detail = document["detail"]
        assert detail.startswith("Expected ") and "\n" not in detail and len(detail) < 2000, detail
