"""openapi.json: valid, complete, and true of the answers of a server."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from edge_mnist import __version__
from edge_mnist.serve.app import build_app
from edge_mnist.serve.models import ModelSource
from edge_mnist.serve.service import Service
from edge_mnist.serve.settings import Limits, Settings
from tests.conftest import WHOLE
from tests.serve.conftest import DIGITS, Server

SEVEN = (DIGITS / "7.png").read_bytes()
ZEROS = {
    "inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}]
}
# By path of openapi.json: the path and body of a request, and its media type.
REQUESTS: dict[str, tuple[str, bytes | None, str]] = {
    "/v1/predict": ("/v1/predict?many=true&seen=true", SEVEN, "image/png"),
    "/v1/demo": ("/v1/demo", SEVEN, "image/png"),
    "/v1/model": ("/v1/model", None, ""),
    "/v1/benchmark": ("/v1/benchmark", None, ""),
    "/healthz": ("/healthz", None, ""),
    "/metrics": ("/metrics", None, ""),
    "/v2": ("/v2", None, ""),
    "/v2/health/live": ("/v2/health/live", None, ""),
    "/v2/health/ready": ("/v2/health/ready", None, ""),
    "/v2/models/{name}": ("/v2/models/default", None, ""),
    "/v2/models/{name}/ready": ("/v2/models/default/ready", None, ""),
    "/v2/models/{name}/infer": (
        "/v2/models/default/infer",
        json.dumps(ZEROS).encode(),
        "application/json",
    ),
}


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    return server.ask("/openapi.json").json


def validate(document: Any, schema: Any, value: Any) -> None:
    """Raise if a value does not suit a schema of the document."""
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def test_it_is_valid_openapi(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_it_is_the_file_with_this_version(document: Any) -> None:
    text = (files("edge_mnist.serve") / "openapi.json").read_text(encoding="utf-8")
    expected = json.loads(text)
    expected["info"]["version"] = __version__
    assert document == expected


def test_its_limits_are_the_servers(document: Any) -> None:
    limits = Limits()
    body = document["paths"]["/v1/predict"]["post"]["requestBody"]["description"]
    for limit in (limits.images, limits.body_bytes, limits.pixels):
        assert f"{limit:,}" in body
    question = document["components"]["schemas"]["Question"]["oneOf"][1]
    assert question["properties"]["images"]["maxItems"] == limits.images


def test_its_paths_and_methods_are_the_routes(document: Any) -> None:
    service = Service(ModelSource(str(WHOLE)), Settings())
    routes: Any = build_app(service).routes
    service.queue.close()
    # Left out: files of the page, the document itself, and the optional version of a model.
    page = {"/", "/api", "/demo", "/openapi.json"}
    served = {
        (route.path, method.lower())
        for route in routes
        for method in route.methods - {"HEAD"}
        if route.path not in page and "." not in route.path and "versions" not in route.path
    }
    described = {(path, verb) for path, verbs in document["paths"].items() for verb in verbs}
    assert described == served


@pytest.mark.parametrize("path", REQUESTS)
def test_answers_suit_their_schemas(server: Server, document: Any, path: str) -> None:
    assert set(REQUESTS) == set(document["paths"])
    target, body, media_type = REQUESTS[path]
    answer = server.ask(target, body, type=media_type)
    assert answer.status == 200
    ((_, operation),) = document["paths"][path].items()
    content = operation["responses"]["200"].get("content")
    if content is None:
        assert answer.body == b""
        return
    ((described, media),) = content.items()
    assert answer.headers["Content-Type"].partition(";")[0] == described
    is_json = described == "application/json"
    validate(document, media["schema"], answer.json if is_json else answer.body.decode())
    if media_type == "application/json":
        schema = operation["requestBody"]["content"][media_type]["schema"]
        assert body is not None
        validate(document, schema, json.loads(body))


@pytest.mark.parametrize("path", ["/v1/predict", "/v2/models/default/infer", "/nothing"])
def test_errors_suit_the_schema_of_problems(server: Server, document: Any, path: str) -> None:
    answer = server.ask(path, b"{")
    assert answer.status in (400, 404)
    (media_type, media), *_ = document["components"]["responses"]["Problem"]["content"].items()
    assert answer.headers["Content-Type"] == media_type
    validate(document, media["schema"], answer.json)
