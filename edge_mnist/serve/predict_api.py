"""The body of `POST /v1/predict` in; predictions as JSON out."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classifier import Detection
from ..classifier.prediction_json import detection_json, detections_json
from ..errors import ImageError
from ..vision.decode import count_pixels
from .json_images import check_image_count, decode_base64, grey_levels, malformed, parse_object
from .problem_details import RequestError
from .settings import Limits
from .stage_times import Image, StageTimes, TimedClassifier

JSON = "application/json"
_EXPECTED = (
    'Expected JSON {"image": …}, {"images": […, …]} or {"pixels": "…"}, where an image is a '
    "picture's bytes in base64 or rows of grey levels 0 to 255"
)


def read_images(
    content: bytes, media_type: str, shape: tuple[int, ...], limits: Limits
) -> Sequence[Image]:
    """Return the images of a body; `shape` is that of one image of raw `pixels`.

    Raises:
        RequestError: an unknown media type, malformed JSON, too many images or pixels.
        ImageError: bytes that are not a picture.
    """
    if media_type == JSON:
        images = _read_json(content, shape, limits)
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        images = [content]
    else:
        raise RequestError(
            f"Expected Content-Type image/…, application/octet-stream or {JSON}, "
            f"got {media_type!r:.80}.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            code="request-type",
        )
    for image in images:
        if isinstance(image, bytes) and (pixels := count_pixels(image)) > limits.pixels:
            raise RequestError(
                f"Expected a picture of at most {limits.pixels // 10**6} megapixels, got "
                f"{pixels / 1e6:.1f}; make it smaller first.",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                code="request-pixels",
            )
    return images


def _read_json(content: bytes, shape: tuple[int, ...], limits: Limits) -> Sequence[Image]:
    document = parse_object(content, _EXPECTED)
    if len(document) != 1 or not set(document) <= {"image", "images", "pixels"}:
        raise malformed(_EXPECTED, f"the keys {sorted(document)!r:.80}")
    ((key, value),) = document.items()
    if key == "pixels":
        return _read_pixels(value, shape, limits)
    values = [value] if key == "image" else value
    if not isinstance(values, list) or not values:
        raise malformed(_EXPECTED, f"images of type {type(values).__name__}, or none")
    check_image_count(len(values), limits)
    return [
        grey_levels(one, _EXPECTED) if isinstance(one, list) else decode_base64(one, _EXPECTED)
        for one in values
    ]


def _read_pixels(value: object, shape: tuple[int, ...], limits: Limits) -> Sequence[Image]:
    """Return raw images, which follow one another, each with its rows from top to bottom."""
    raw = decode_base64(value, _EXPECTED)
    size = int(np.prod(shape))
    if not raw or len(raw) % size:
        raise malformed(_EXPECTED, f"{len(raw)} bytes of pixels, which is not a multiple of {size}")
    check_image_count(len(raw) // size, limits)
    return list(np.frombuffer(raw, np.uint8).reshape(-1, *shape))


def predict(
    classifier: TimedClassifier, images: Sequence[Image], *, multi_digit: bool, model_input: bool
) -> tuple[dict[str, Any], StageTimes]:
    """Return `predictions` and the times of all images together, in microseconds.

    Args:
        classifier: the model.
        images: result of `read_images`.
        multi_digit: read several digits in each picture.
        model_input: add the pixels that went into the model, under `seen`.

    Returns:
        The document: `latency_us` is the sum of `decode_us`, `preprocess_us` and `model_us`, and
        of the little between them. And the times of the stages.

    Raises:
        ImageError: an image is broken or too small; its index is named unless it is the first.
        ModelError: several digits per picture, with a model that does not read digits.
    """
    times = StageTimes()
    start = time.perf_counter_ns()
    results = [_detect(classifier, image, multi_digit, i, times) for i, image in enumerate(images)]
    latency_us = (time.perf_counter_ns() - start) / 1000
    predictions = [_to_json(result, model_input) for result in results]
    document = {"latency_us": round(latency_us, 1), **times.to_json(), "predictions": predictions}
    return document, times


def _detect(
    classifier: TimedClassifier, image: Image, multi_digit: bool, index: int, times: StageTimes
) -> Detection | list[Detection]:
    try:
        return classifier.detect_timed(image, times, multi_digit=multi_digit)
    except ImageError as error:
        if not index:
            raise
        raise ImageError(f"{error} It is images[{index}].", code=error.code) from error


def _to_json(result: Detection | list[Detection], model_input: bool) -> dict[str, Any]:
    if isinstance(result, Detection):
        document = detection_json(result)
        pairs = [(document, result)]
    else:
        document = detections_json(result)
        pairs = list(zip(document["predictions"], result, strict=True))
    if model_input:
        for row, detection in pairs:
            row["seen"] = model_input_json(detection.image)
    return document


def model_input_json(image: NDArray[np.uint8] | None) -> dict[str, Any] | None:
    """Return the pixels that went into the model; None if no digit was found."""
    if image is None:
        return None
    pixels = base64.b64encode(image.tobytes()).decode()
    return {"shape": list(image.shape), "pixels": pixels}
