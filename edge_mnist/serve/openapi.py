"""What the API takes and answers: OpenAPI 3.1, https://spec.openapis.org/oas/v3.1.0."""

from __future__ import annotations

from typing import Any

from ..system.version import __version__
from .limits import Limits
from .problems import MEDIA_TYPE

JSON = "application/json"
_NUMBER = {"type": "number"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT = {"type": "string"}
_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "A name of /v1/model, or default.",
    "schema": _TEXT,
}


def document(limits: Limits) -> dict[str, Any]:
    """Return the whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edge-mnist",
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": (
                "Reads handwritten digits. Nothing of a request is kept. Errors are problem+json, "
                "in the words of the command line."
            ),
        },
        "security": [{}, {"token": []}],
        "paths": {**_own(limits), **_protocol()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(limits),
            "responses": {
                "Problem": {
                    "description": "What was expected, what came, what to do.",
                    "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
                }
            },
        },
    }


def _own(limits: Limits) -> dict[str, Any]:
    asked = [
        _query("model", "A name of /v1/model.", {"type": "string", "default": "default"}),
        _query("many", "Several digits a picture, left to right, line by line."),
        _query("seen", "Also what the model saw."),
    ]
    body = {
        "required": True,
        "description": (
            f"A picture's bytes, or JSON with one or up to {limits.images:,}. At most "
            f"{limits.body_bytes:,} bytes, and {limits.pixels:,} pixels a picture."
        ),
        "content": {
            "image/*": {"schema": {"contentMediaType": "image/*"}},
            "application/octet-stream": {"schema": {}},
            JSON: {"schema": _ref("Question")},
        },
    }
    predict = _operation("Read the digits in pictures.", _ref("Answer"), asked)
    return {
        "/v1/predict": {"post": {**predict, "requestBody": body}},
        "/v1/model": {"get": _operation("What is loaded, and the limits.", _ref("Models"))},
        "/v1/benchmark": {
            "get": _operation("The newest benchmark, or null.", _ref("Benchmark")),
        },
        "/healthz": {"get": _operation("Whether the server answers.", {"type": "object"})},
        "/metrics": {
            "get": _operation("Counts and times for Prometheus.", _TEXT, media_type="text/plain")
        },
    }


def _protocol() -> dict[str, Any]:
    named = [_NAME]
    tensors = {"required": True, "content": {JSON: {"schema": _ref("InferRequest")}}}
    infer = _operation("Open Inference Protocol: infer.", _ref("InferAnswer"), named)
    what = "Open Inference Protocol: "
    anything = {"type": "object"}
    return {
        "/v2": {"get": _operation(f"{what}the server.", anything)},
        "/v2/health/live": {"get": _operation(f"{what}alive.", None)},
        "/v2/health/ready": {"get": _operation(f"{what}ready.", None)},
        "/v2/models/{name}": {"get": _operation(f"{what}a model.", anything, named)},
        "/v2/models/{name}/ready": {"get": _operation(f"{what}a model is ready.", None, named)},
        "/v2/models/{name}/infer": {"post": {**infer, "requestBody": tensors}},
    }


def _operation(
    summary: str,
    schema: dict[str, Any] | None,
    parameters: list[dict[str, Any]] | None = None,
    *,
    media_type: str = JSON,
) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done."}
    if schema is not None:
        done["content"] = {media_type: {"schema": schema}}
    problem = {"$ref": "#/components/responses/Problem"}
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": done, "default": problem}}
    return operation | ({"parameters": parameters} if parameters else {})


def _query(name: str, text: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    schema = schema or {"type": "boolean", "default": False}
    return {"name": name, "in": "query", "description": text, "schema": schema}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(*optional: str, **properties: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def _or_null(type: str) -> dict[str, Any]:
    return {"type": [type, "null"]}


def _schemas(limits: Limits) -> dict[str, Any]:
    levels = _list(_list({"type": "integer", "minimum": 0, "maximum": 255}))
    base64 = {"type": "string", "contentEncoding": "base64"}
    return {
        "Image": {
            "description": (
                "A picture's bytes, or rows of grey levels; of the model's own size, 28×28, they "
                "are taken as MNIST's: white ink on black."
            ),
            "oneOf": [base64, levels],
        },
        "Question": {
            "oneOf": [
                _object(image=_ref("Image")),
                _object(images=_list(_ref("Image"), minItems=1, maxItems=limits.images)),
                _object(pixels={**base64, "description": "Raw images, 784 bytes each."}),
            ]
        },
        "Answer": _object(
            model=_TEXT,
            latency_us={**_NUMBER, "description": "Preparing and predicting, all images."},
            predictions=_list({"anyOf": [_ref("Prediction"), _ref("Several")]}),
        ),
        "Prediction": _object(
            *("reason", "label", "seen"),
            digit={**_or_null("integer"), "description": "null where it is no digit."},
            confidence=_SHARE,
            probabilities=_list(_SHARE),
            reason=_TEXT,
            label=_TEXT,
            seen={"oneOf": [_object(shape=_list(_NUMBER), pixels=base64), {"type": "null"}]},
        ),
        "Several": _object(
            digits={**_TEXT, "description": "? stands for what is no digit."},
            boxes=_list(_list({"type": "integer"})),
            predictions=_list(_ref("Prediction")),
        ),
        "Models": _object(
            bundle=_TEXT,
            default=_TEXT,
            models=_list(_model()),
            refused=_list(_TEXT),
            limits=_object(**dict.fromkeys(("body_bytes", "pixels", "images"), _NUMBER)),
        ),
        "Benchmark": _object(benchmark=_or_null("object")),
        "InferRequest": _object("id", "outputs", id=_TEXT, inputs=_list({}), outputs=_list({})),
        "InferAnswer": _object("id", id=_TEXT, model_name=_TEXT, outputs=_list({})),
        "Problem": _object(
            "error",
            **dict.fromkeys(("type", "title", "detail", "code", "error"), _TEXT),
            status={"type": "integer"},
        ),
    }


def _model() -> dict[str, Any]:
    return _object(
        **dict.fromkeys(("name", "file", "backend", "format", "precision"), _TEXT),
        size_bytes=_or_null("integer"),
        sha256=_or_null("string"),
        accuracy=_or_null("number"),
        accuracy_data=_or_null("string"),
        input=_object(shape=_list(_NUMBER), dtype=_TEXT),
        labels=_list(_TEXT),
        threshold=_NUMBER,
        several={"type": "boolean", "description": "Whether it reads several digits a picture."},
    )
