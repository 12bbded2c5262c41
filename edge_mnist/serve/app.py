"""The routes, and what every request goes through before it reaches one."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..classifier import Classifier
from ..errors import EdgeMnistError
from . import benchmarks, inference_protocol, metrics, models, openapi, problems, v1
from .limits import Held, Limits, Queue, read_body
from .problems import RequestError

Answer = TypeVar("Answer")
Handler = Callable[[Request], Any]

# Without these the page could not ask for the token; they tell nothing of the model or its use.
_PAGES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/api": ("api.html", "text/html"),
    "/api.js": ("api.js", "text/javascript"),
}
_OPEN = frozenset((*_PAGES, "/healthz", "/openapi.json"))
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# What nginx logs where the client has gone before there was an answer.
_GONE = 499


@dataclass(frozen=True)
class Settings:
    """Who may ask, and how much.

    `hosts` are the names that a browser may know this server by, None for any: on loopback
    another name means that a page elsewhere has had its own name lead here (DNS rebinding).
    """

    token: str | None = None
    hosts: frozenset[str] | None = None
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    benchmark: Path | None = None
    log: bool = True


class Service:
    """What the handlers share: the models of now, the queue, the counts."""

    def __init__(self, source: models.Source, settings: Settings) -> None:
        self._source = source
        self.models = models.load(source)
        self.settings = settings
        self.limits = settings.limits
        self.queue = Queue(settings.limits)
        self.held = Held(settings.limits.held_bytes)
        self.metrics = metrics.Metrics()

    async def reload(self) -> None:
        """Load the models again; where that fails the old ones go on serving."""
        try:
            self.models = await asyncio.to_thread(models.load, self._source)
        except (EdgeMnistError, OSError) as error:
            self.metrics.reloads["failed"] += 1
            say(f"edge-mnist: warning: kept the models as they were: {error}")
        else:
            self.metrics.reloads["done"] += 1
            say(f"Reloaded {self.models.place}: {', '.join(self.models.names)}")

    async def ask(self, request: Request, work: Callable[[bytes], Answer]) -> Answer:
        """Read the body, within limits, and do the work with it in a thread."""
        with self.held.some() as add:
            content = await read_body(request, self.limits, add)
            start = time.perf_counter()
            answer = await self.queue.run(partial(work, content))
            self.metrics.predict_time.observe(time.perf_counter() - start)
            return answer

    # ----- The project's own API -----------------------------------------------------------------

    async def predict(self, request: Request) -> Response:
        """`POST /v1/predict`."""
        query = request.query_params
        name, classifier = self.models.get(query.get("model"))
        wanted = v1.Wanted(many=_flag(query, "many"), seen=_flag(query, "seen"))
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()

        def work(content: bytes) -> tuple[int, Response]:
            given = v1.read(content, media_type, classifier.spec.shape, self.limits)
            document = {"model": name, **v1.answer(classifier, given, wanted)}
            return len(given), JSONResponse(document)

        count, response = await self.ask(request, work)
        self.metrics.images[name] += count
        return response

    async def model(self, _: Request) -> Response:
        """`GET /v1/model`."""
        limits = self.limits
        shown = {name: getattr(limits, name) for name in ("body_bytes", "pixels", "images")}
        return JSONResponse({**models.describe(self.models), "limits": shown})

    async def benchmark(self, _: Request) -> Response:
        """`GET /v1/benchmark`."""
        given = self.settings.benchmark
        find = partial(benchmarks.read, given) if given else partial(benchmarks.newest, Path())
        return JSONResponse({"benchmark": await asyncio.to_thread(find)})

    async def health(self, _: Request) -> Response:
        """`GET /healthz`."""
        return JSONResponse({"status": "ok"})

    async def counts(self, _: Request) -> Response:
        """`GET /metrics`."""
        text = self.metrics.text(waiting=self.queue.depth, held_bytes=self.held.size_bytes)
        return Response(text, media_type=metrics.MEDIA_TYPE)

    # ----- The Open Inference Protocol -----------------------------------------------------------

    async def server(self, _: Request) -> Response:
        """`GET /v2`."""
        return JSONResponse(inference_protocol.server_metadata())

    async def alive(self, request: Request) -> Response:
        """`GET /v2/health/…` and `…/ready`: 200 where the model, if one is named, is there."""
        self._named(request)
        return Response()

    async def metadata(self, request: Request) -> Response:
        """`GET /v2/models/NAME`."""
        name, classifier = self._named(request)
        return JSONResponse(inference_protocol.model_metadata(name, classifier))

    async def infer(self, request: Request) -> Response:
        """`POST /v2/models/NAME/infer`."""
        name, classifier = self._named(request)
        length = request.headers.get(inference_protocol.HEADER)
        shape = classifier.spec.shape

        def work(content: bytes) -> tuple[int, bytes, int | None]:
            asked = inference_protocol.read(content, length, shape, self.limits)
            return len(asked.images), *inference_protocol.infer(classifier, asked, name)

        count, body, head = await self.ask(request, work)
        self.metrics.images[name] += count
        if head is None:
            return Response(body, media_type=v1.JSON)
        headers = {inference_protocol.HEADER: str(head)}
        return Response(body, headers=headers, media_type="application/octet-stream")

    def _named(self, request: Request) -> tuple[str, Classifier]:
        version = request.path_params.get("version", inference_protocol.VERSION)
        if version != inference_protocol.VERSION:
            raise RequestError(
                f"Expected version {inference_protocol.VERSION}, got {version!r:.40}.",
                HTTPStatus.NOT_FOUND,
            )
        return self.models.get(request.path_params.get("name"))


def _flag(query: Any, name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise RequestError(
            f"Expected {name}=true or {name}=false, got {value!r:.40}.", HTTPStatus.BAD_REQUEST
        )
    return bool(value == "true")


def say(line: str) -> None:
    """Write one line of the log; that nobody reads it any more is no reason to stop."""
    with suppress(OSError):
        click.echo(" ".join(line.split()), err=True)


# ----- What every request goes through -----------------------------------------------------------


class Watch:
    """Counts and logs each request, size, time and status alone, and sets the headers of safety."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        size_bytes, status = 0, _GONE

        async def counted() -> Message:
            nonlocal size_bytes
            message = await receive()
            size_bytes += len(message.get("body", b""))
            return message

        async def safe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(_SECURITY)
            await send(message)

        try:
            await self._app(scope, counted, safe)
        finally:
            self._note(size_bytes, status, time.perf_counter() - start)

    def _note(self, size_bytes: int, status: int, time_s: float) -> None:
        counts = self._service.metrics
        counts.statuses[status] += 1
        counts.body_bytes += size_bytes
        counts.request_time.observe(time_s)
        if self._service.settings.log:
            say(f"{status} {size_bytes} bytes {time_s * 1000:.1f} ms")


class Guard:
    """Lets in only who may ask: by the name of the host, the origin of a page, and the token."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            try:
                self._check(Headers(scope=scope), scope["path"])
            except RequestError as error:
                await problems.response(error, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers, path: str) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        allowed = self._settings.hosts
        if allowed is not None and _hostname(f"//{host}") not in allowed:
            raise RequestError(
                f"Expected a request for {', '.join(sorted(allowed))}, got one for {host!r:.80}; "
                f"use that address.",
                HTTPStatus.MISDIRECTED_REQUEST,
            )
        foreign = origin is not None and urlsplit(origin).netloc != host
        if foreign and origin not in self._settings.origins:
            raise RequestError(
                "Expected a request of this server's own page, got one of another; allow that "
                "with --allow-origin.",
                HTTPStatus.FORBIDDEN,
            )
        if path not in _OPEN:
            self._check_token(headers.get("authorization", ""))

    def _check_token(self, given: str) -> None:
        token = self._settings.token
        if token is None or hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return
        raise RequestError(
            "Expected the header Authorization: Bearer TOKEN, got another or none; the token was "
            "printed when the server started, or given to it.",
            HTTPStatus.UNAUTHORIZED,
            headers={"WWW-Authenticate": "Bearer"},
        )


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


# ----- The application ---------------------------------------------------------------------------


def build(service: Service, lifespan: Callable[[Service], Any] | None = None) -> Starlette:
    """Return the ASGI application; `lifespan` is a context that it runs in."""
    settings = service.settings

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        async with (lifespan or _plain)(service):
            yield
        service.queue.close()

    middleware = [Middleware(Watch, service=service)]
    if settings.origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.origins),
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
            )
        )
    middleware.append(Middleware(Guard, settings=settings))
    return Starlette(
        routes=_routes(service),
        middleware=middleware,
        lifespan=life,
        exception_handlers={
            EdgeMnistError: _problem,
            HTTPException: _http_problem,
            ClientDisconnect: _gone,
            Exception: _bug,
        },
    )


@asynccontextmanager
async def _plain(_: Service) -> AsyncIterator[None]:
    yield


def _routes(service: Service) -> list[BaseRoute]:
    get: dict[str, Handler] = {
        "/healthz": service.health,
        "/metrics": service.counts,
        "/v1/model": service.model,
        "/v1/benchmark": service.benchmark,
        "/v2": service.server,
        "/v2/health/live": service.alive,
        "/v2/health/ready": service.alive,
    }
    post: dict[str, Handler] = {"/v1/predict": service.predict}
    for place in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        get |= {place: service.metadata, f"{place}/ready": service.alive}
        post[f"{place}/infer"] = service.infer
    return [
        *(Route(path, _page(*page)) for path, page in _PAGES.items()),
        Route("/openapi.json", _constant(JSONResponse(openapi.document(service.limits)))),
        *(Route(path, handler) for path, handler in get.items()),
        *(Route(path, handler, methods=["POST"]) for path, handler in post.items()),
    ]


def _page(name: str, media_type: str) -> Handler:
    content = (files(__package__) / "page" / name).read_bytes()
    return _constant(Response(content, media_type=media_type))


def _constant(response: Response) -> Handler:
    async def handler(_: Request) -> Response:
        return response

    return handler


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgeMnistError)
    return problems.response(error, request.url.path)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    detail = f"Expected a path and method of /openapi.json, got {request.method} {path!r:.80}."
    return problems.document(
        error.status_code, detail, "RequestError", path, dict(error.headers or {})
    )


async def _gone(_: Request, __: Exception) -> Response:
    return PlainTextResponse("", _GONE)


async def _bug(request: Request, error: Exception) -> Response:
    detail = "Expected an answer, got an error of the server's own; its log has it."
    return problems.document(500, detail, type(error).__name__, request.url.path)
