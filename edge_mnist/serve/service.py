"""HTTP requests in; answers of the API out, with the models and limits that all requests share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..classifier import Classifier
from ..errors import EdgeMnistError
from . import inference_protocol, metrics, predict_api
from .benchmark_panel import read_panel
from .demonstration import Demonstration
from .json_images import malformed
from .log import log_line
from .models import ModelSource, load_models
from .problem_details import RequestError
from .request_body import MemoryBudget, read_body
from .settings import Settings
from .stage_times import StageTimes
from .worker_queue import WorkerQueue

Result = TypeVar("Result")


class Service:
    """The handlers of all routes and their shared state.

    Raises:
        EdgeMnistError: the default model cannot be loaded.
    """

    def __init__(self, source: ModelSource, settings: Settings) -> None:
        self._source = source
        self.models = load_models(source)
        self._demonstration = Demonstration(self.models)
        self.settings = settings
        self.limits = settings.limits
        self.queue = WorkerQueue(settings.limits)
        self.memory = MemoryBudget(settings.limits.held_bytes)
        self.metrics = metrics.Metrics(
            queue_depth=lambda: self.queue.depth, held_bytes=lambda: self.memory.size_bytes
        )

    async def reload(self) -> None:
        """Load the models again; on failure the old ones stay in use."""
        try:
            self.models = await asyncio.to_thread(load_models, self._source)
        except (EdgeMnistError, OSError) as error:
            self.metrics.reloads.labels(result="failed").inc()
            log_line(f"edge-mnist: warning: kept the models as they were: {error}")
        else:
            self._demonstration = Demonstration(self.models)
            self.metrics.reloads.labels(result="done").inc()
            log_line(f"Reloaded {self.models.bundle}: {', '.join(self.models.names)}")
            log_line(f"Model: {self.models.origin}")

    async def _process_body(self, request: Request, work: Callable[[bytes], Result]) -> Result:
        """Read the body within the limits, and call `work` with it in a worker thread."""
        with self.memory.reserve() as reserve:
            content = await read_body(request, self.limits, reserve)
            start = time.perf_counter()
            result = await self.queue.run(partial(work, content))
            self.metrics.predict_seconds.observe(time.perf_counter() - start)
            return result

    # ----- The project's own API -----------------------------------------------------------------

    async def predict(self, request: Request) -> Response:
        """`POST /v1/predict`."""
        name, classifier = self.models.get(request.query_params.get("model"))
        options = {
            "multi_digit": _boolean(request, "many"),
            "model_input": _boolean(request, "seen"),
        }
        media_type = _media_type(request)

        def work(content: bytes) -> tuple[int, StageTimes, Response]:
            start = time.perf_counter_ns()
            images = predict_api.read_images(
                content, media_type, classifier.spec.shape, self.limits
            )
            document, times = predict_api.predict(classifier, images, **options)
            total_us = round((time.perf_counter_ns() - start) / 1000, 1)
            return (
                len(images),
                times,
                JSONResponse({"model": name, "total_us": total_us, **document}),
            )

        count, times, response = await self._process_body(request, work)
        self.metrics.images.labels(model=name).inc(count)
        self.metrics.add_stages(times)
        return response

    async def demo(self, request: Request) -> Response:
        """`POST /v1/demo`."""
        demonstration, media_type = self._demonstration, _media_type(request)
        shape = next(iter(self.models.by_name.values())).spec.shape

        def work(content: bytes) -> tuple[StageTimes, Response]:
            start = time.perf_counter_ns()
            images = predict_api.read_images(content, media_type, shape, self.limits)
            if len(images) != 1:
                raise malformed("Expected one picture", str(len(images)))
            document, times = demonstration.read(images[0])
            total_us = round((time.perf_counter_ns() - start) / 1000, 1)
            return times, JSONResponse({**document, "total_us": total_us})

        times, response = await self._process_body(request, work)
        for name in demonstration.names:
            self.metrics.images.labels(model=name).inc()
        self.metrics.add_stages(times)
        return response

    async def model(self, _: Request) -> Response:
        """`GET /v1/model`."""
        limits = {name: getattr(self.limits, name) for name in ("body_bytes", "pixels", "images")}
        return JSONResponse({**self.models.to_json(), "limits": limits})

    async def benchmark(self, _: Request) -> Response:
        """`GET /v1/benchmark`."""
        panel = await asyncio.to_thread(read_panel, self.settings.benchmark)
        return JSONResponse({"benchmark": panel})

    async def health(self, _: Request) -> Response:
        """`GET /healthz`."""
        return JSONResponse({"status": "ok"})

    async def prometheus(self, _: Request) -> Response:
        """`GET /metrics`."""
        return Response(self.metrics.text(), media_type=metrics.MEDIA_TYPE)

    # ----- The Open Inference Protocol -----------------------------------------------------------

    async def v2_server(self, _: Request) -> Response:
        """`GET /v2`."""
        return JSONResponse(inference_protocol.server_metadata())

    async def v2_ready(self, request: Request) -> Response:
        """`GET /v2/health/…` and `GET /v2/models/NAME/ready`: 404 if the named model is missing."""
        self._requested_model(request)
        return Response()

    async def v2_model(self, request: Request) -> Response:
        """`GET /v2/models/NAME`."""
        return JSONResponse(inference_protocol.model_metadata(*self._requested_model(request)))

    async def v2_infer(self, request: Request) -> Response:
        """`POST /v2/models/NAME/infer`."""
        name, classifier = self._requested_model(request)
        length = request.headers.get(inference_protocol.JSON_LENGTH_HEADER)
        shape = classifier.spec.shape

        def work(content: bytes) -> tuple[int, bytes, int | None]:
            parsed = inference_protocol.read_request(content, length, shape, self.limits)
            return len(parsed.images), *inference_protocol.run_inference(classifier, parsed, name)

        count, body, json_length = await self._process_body(request, work)
        self.metrics.images.labels(model=name).inc(count)
        if json_length is None:
            return Response(body, media_type=predict_api.JSON)
        headers = {inference_protocol.JSON_LENGTH_HEADER: str(json_length)}
        return Response(body, headers=headers, media_type="application/octet-stream")

    def _requested_model(self, request: Request) -> tuple[str, Classifier]:
        """Return the model that the path names; a path without a name means the default."""
        expected = inference_protocol.MODEL_VERSION
        version = request.path_params.get("version", expected)
        if version != expected:
            raise RequestError(
                f"Expected version {expected}, got {version!r:.40}.",
                HTTPStatus.NOT_FOUND,
                code="request-version",
            )
        return self.models.get(request.path_params.get("name"))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _boolean(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise RequestError(
            f"Expected {name}=true or {name}=false, got {value!r:.40}.",
            HTTPStatus.BAD_REQUEST,
            code="request-query",
        )
    return value == "true"
