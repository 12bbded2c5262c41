"""JSON of a request in; its images as uint8 arrays or encoded bytes out."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .problem_details import RequestError
from .settings import Limits


def malformed(expected: str, got: str) -> RequestError:
    """Return the error for a body that is not as `expected`, a sentence without its full stop."""
    return RequestError(f"{expected}; got {got}.", HTTPStatus.BAD_REQUEST, code="request-body")


def parse_object(content: bytes, expected: str) -> dict[str, Any]:
    """Return a JSON object. Raises RequestError for any other content."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise malformed(expected, f"invalid JSON ({error!s:.80})") from error
    if not isinstance(document, dict):
        raise malformed(expected, type(document).__name__)
    return document


def decode_base64(value: object, expected: str) -> bytes:
    """Return the bytes of a base64 string. Raises RequestError for any other value."""
    if not isinstance(value, str):
        raise malformed(expected, f"an image of type {type(value).__name__}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise malformed(expected, f"invalid base64 ({error})") from error


def grey_levels(value: list[Any], expected: str) -> NDArray[np.uint8]:
    """Return nested lists of integers 0 to 255 as an array. Raises RequestError for others."""
    if (array := _rows(value)) is not None:
        return array
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise malformed(expected, "rows of different lengths") from error
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise malformed(expected, f"{array.dtype} values of shape {array.shape}")
    return array.astype(np.uint8)


def _rows(value: list[Any]) -> NDArray[np.uint8] | None:
    """Return rows of equal length, or None for other lists. `np.asarray` takes 3 times as long."""
    if not value or {type(row) for row in value} != {list} or len({*map(len, value)}) > 1:
        return None
    try:
        levels = bytes(itertools.chain.from_iterable(value))
    except (TypeError, ValueError):
        return None
    return np.frombuffer(levels, np.uint8).reshape(len(value), -1)


def check_image_count(count: int, limits: Limits) -> None:
    """Raise RequestError if a request has more than `limits.images` images."""
    if count > limits.images:
        raise RequestError(
            f"Expected at most {limits.images} images in a request, got {count}; send them in "
            f"several requests.",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            code="request-images",
        )
