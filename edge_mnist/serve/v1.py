"""Pictures in, digits out: the body of `POST /v1/predict`, and its answer."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np

from ..classifier import prediction_json
from ..errors import ImageError
from ..vision.decode import count_pixels
from .limits import Limits, refuse_many
from .problems import RequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..classifier import Classifier, Detection

    Given = bytes | NDArray[np.uint8]

JSON = "application/json"
_FORMS = (
    'Expected JSON {"image": …}, {"images": […, …]} or {"pixels": "…"}, where an image is a '
    "picture's bytes in base64 or rows of grey levels 0 to 255"
)


@dataclass(frozen=True)
class Wanted:
    """What the address asks for: several digits a picture, and what the model saw."""

    many: bool = False
    seen: bool = False


def read(
    content: bytes, media_type: str, shape: tuple[int, ...], limits: Limits
) -> Sequence[Given]:
    """Return the pictures of a body; arrays are uint8.

    Raises:
        RequestError: another type, malformed JSON, too many images or too many pixels.
        ImageError: bytes that are no picture.
    """
    if media_type == JSON:
        given = _from_json(content, shape, limits)
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        given = [content]
    else:
        raise RequestError(
            f"Expected Content-Type image/…, application/octet-stream or {JSON}, "
            f"got {media_type!r:.80}.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    for picture in given:
        if isinstance(picture, bytes):
            _check_pixels(picture, limits)
    return given


def _check_pixels(picture: bytes, limits: Limits) -> None:
    if (pixels := count_pixels(picture)) > limits.pixels:
        raise RequestError(
            f"Expected a picture of at most {limits.pixels // 10**6} megapixels, got "
            f"{pixels / 1e6:.1f}; make it smaller first.",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )


def parse(content: bytes, forms: str) -> dict[str, Any]:
    """Return a JSON object. Raises RequestError, which says that `forms` were expected."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _malformed(forms, f"no JSON ({error!s:.80})") from error
    if not isinstance(document, dict):
        raise _malformed(forms, type(document).__name__)
    return document


def _malformed(forms: str, got: str) -> RequestError:
    return RequestError(f"{forms}; got {got}.", HTTPStatus.BAD_REQUEST)


def _from_json(content: bytes, shape: tuple[int, ...], limits: Limits) -> Sequence[Given]:
    document = parse(content, _FORMS)
    if len(document) != 1 or not set(document) <= {"image", "images", "pixels"}:
        raise _malformed(_FORMS, f"the keys {sorted(document)!r:.80}")
    ((key, value),) = document.items()
    if key == "pixels":
        return _from_pixels(value, shape, limits)
    values = [value] if key == "image" else value
    if not isinstance(values, list) or not values:
        raise _malformed(_FORMS, f"images of type {type(values).__name__}, or none")
    refuse_many(len(values), limits)
    return [_from_value(one) for one in values]


def _from_pixels(value: object, shape: tuple[int, ...], limits: Limits) -> Sequence[Given]:
    """Return the images of raw pixels, one after another, rows first."""
    raw = _decode(value)
    size = int(np.prod(shape))
    if not raw or len(raw) % size:
        raise _malformed(_FORMS, f"{len(raw)} bytes of pixels, which is no multiple of {size}")
    refuse_many(len(raw) // size, limits)
    return list(np.frombuffer(raw, np.uint8).reshape(-1, *shape))


def _from_value(value: object) -> Given:
    return grey_levels(value, _FORMS) if isinstance(value, list) else _decode(value)


def _decode(value: object) -> bytes:
    if not isinstance(value, str):
        raise _malformed(_FORMS, f"an image of type {type(value).__name__}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed(_FORMS, f"no base64 ({error})") from error


def grey_levels(value: list[Any], forms: str) -> NDArray[np.uint8]:
    """Return nested lists of integers as uint8. Raises RequestError where they are none."""
    if (rows := _rows(value)) is not None:
        return rows
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise _malformed(forms, "rows of several lengths") from error
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise _malformed(forms, f"{array.dtype} values of shape {array.shape}")
    return array.astype(np.uint8)


def _rows(value: list[Any]) -> NDArray[np.uint8] | None:
    """Return rows of one length of grey levels; None for all else. numpy takes thrice as long."""
    if not value or {type(row) for row in value} != {list} or len({*map(len, value)}) > 1:
        return None
    try:
        levels = bytes(itertools.chain.from_iterable(value))
    except (TypeError, ValueError):
        return None
    return np.frombuffer(levels, np.uint8).reshape(len(value), -1)


def answer(classifier: Classifier, given: Sequence[Given], wanted: Wanted) -> dict[str, Any]:
    """Return what the classifier reads; `latency_us` is the time of that alone.

    Raises:
        ImageError: a picture is broken, or too small; of several it says which.
        ModelError: several digits a picture, of a model that does not read digits.
    """
    start = time.perf_counter_ns()
    read = [_see(classifier, picture, wanted, place) for place, picture in enumerate(given)]
    latency_us = (time.perf_counter_ns() - start) / 1000
    made = [_row(found, wanted) for found in read]
    return {"latency_us": round(latency_us, 1), "predictions": made}


def _see(
    classifier: Classifier, picture: Given, wanted: Wanted, place: int
) -> Detection | list[Detection]:
    try:
        return classifier.predict_many(picture) if wanted.many else classifier.see(picture)
    except ImageError as error:
        if not place:
            raise
        raise ImageError(f"{error} It is images[{place}].") from error


def _row(found: Detection | list[Detection], wanted: Wanted) -> dict[str, Any]:
    if not isinstance(found, list):
        row = prediction_json.prediction_json(found.prediction)
        return row | {"seen": _seen(found)} if wanted.seen else row
    row = prediction_json.detections_json(found)
    if wanted.seen:
        for one, detection in zip(row["predictions"], found, strict=True):
            one["seen"] = _seen(detection)
    return row


def _seen(detection: Detection) -> dict[str, Any] | None:
    """Return the pixels that went into the model; None where there was nothing to see."""
    if detection.image is None:
        return None
    pixels = base64.b64encode(detection.image.tobytes()).decode()
    return {"shape": list(detection.image.shape), "pixels": pixels}
