"""A service in; the ASGI application with its routes, page files and middleware out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..system.version import __version__
from .middleware import AccessControl, RequestLog
from .problem_details import EXCEPTION_HANDLERS
from .service import Service

Handler = Callable[[Request], Any]
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]

_PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/demo": ("demo.html", "text/html"),
    "/demo.css": ("demo.css", "text/css"),
    "/demo.js": ("demo.js", "text/javascript"),
    "/live.js": ("live.js", "text/javascript"),
    "/paper.js": ("paper.js", "text/javascript"),
    "/server.js": ("server.js", "text/javascript"),
    "/api": ("api.html", "text/html"),
    "/api.js": ("api.js", "text/javascript"),
}
# The page needs these before it can ask for the token. They reveal nothing about the model.
_PUBLIC_PATHS = frozenset((*_PAGE_FILES, "/healthz", "/openapi.json"))


def build_app(service: Service, lifespan: Lifespan | None = None) -> Starlette:
    """Return the application; `lifespan` makes the context in which it runs."""
    settings = service.settings
    middleware = [Middleware(RequestLog, metrics=service.metrics, log=settings.log)]
    if settings.origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.origins),
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
            )
        )
    middleware.append(Middleware(AccessControl, settings=settings, public_paths=_PUBLIC_PATHS))
    return Starlette(
        routes=_routes(service),
        middleware=middleware,
        lifespan=lifespan,
        exception_handlers=EXCEPTION_HANDLERS,
    )


def _routes(service: Service) -> list[BaseRoute]:
    get: dict[str, Handler] = {
        "/healthz": service.health,
        "/metrics": service.prometheus,
        "/v1/model": service.model,
        "/v1/benchmark": service.benchmark,
        "/v2": service.v2_server,
        "/v2/health/live": service.v2_ready,
        "/v2/health/ready": service.v2_ready,
    }
    post: dict[str, Handler] = {"/v1/predict": service.predict, "/v1/demo": service.demo}
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        get |= {model: service.v2_model, f"{model}/ready": service.v2_ready}
        post[f"{model}/infer"] = service.v2_infer
    folder = files(__package__)
    constants: dict[str, Response] = {
        path: Response((folder / "page" / name).read_bytes(), media_type=media_type)
        for path, (name, media_type) in _PAGE_FILES.items()
    }
    # The file describes the default limits, which no option changes. Its version is a placeholder.
    openapi = json.loads((folder / "openapi.json").read_bytes())
    openapi["info"]["version"] = __version__
    constants["/openapi.json"] = JSONResponse(openapi)
    return [
        *(Route(path, _constant(response)) for path, response in constants.items()),
        *(Route(path, handler) for path, handler in get.items()),
        *(Route(path, handler, methods=["POST"]) for path, handler in post.items()),
    ]


def _constant(response: Response) -> Handler:
    async def handler(_: Request) -> Response:
        return response

    return handler
