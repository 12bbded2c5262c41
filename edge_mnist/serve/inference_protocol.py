"""Requests of the Open Inference Protocol (KServe v2, REST) in; tensors out.

https://github.com/kserve/open-inference-protocol, with Triton's extension for binary tensors. The
input `image` holds UINT8 pixels as in MNIST, white on black. The outputs are `probabilities` and
`digit`, which is -1 where the largest probability is below the bundle's rejection threshold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..classifier import Classifier
from ..system.version import __version__
from .json_images import check_image_count, grey_levels, malformed, parse_object
from .settings import Limits

# This header gives the length of the JSON that binary tensors follow, in requests and answers.
JSON_LENGTH_HEADER = "inference-header-content-length"
MODEL_VERSION = "1"
_EXPECTED = (
    "Expected one input: image, UINT8 of shape (n, {shape}), as data or as binary_data_size bytes "
    "after the JSON"
)
_OUTPUT_TYPES = {"probabilities": "FP32", "digit": "INT64"}


@dataclass(frozen=True)
class InferRequest:
    """A parsed request."""

    images: NDArray[np.uint8]  # Shape (n, *model shape).
    outputs: Mapping[str, bool]  # By name of an output, whether to send it in binary.
    id: str | None  # Chosen by the client, and sent back with the answer.


def server_metadata() -> dict[str, Any]:
    """Return the answer to `GET /v2`."""
    return {"name": "edge-mnist", "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(name: str, classifier: Classifier) -> dict[str, Any]:
    """Return the answer to `GET /v2/models/NAME`; the size -1 stands for any batch size."""
    return {
        "name": name,
        "versions": [MODEL_VERSION],
        "platform": f"{classifier.artifact.format}_{classifier.backend}",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, *classifier.spec.shape]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(classifier.labels)]},
            {"name": "digit", "datatype": "INT64", "shape": [-1]},
        ],
    }


def read_request(
    content: bytes, json_length: str | None, shape: tuple[int, ...], limits: Limits
) -> InferRequest:
    """Parse the body of an infer request.

    Args:
        content: JSON, then the bytes of binary tensors.
        json_length: value of `JSON_LENGTH_HEADER`; None if all of the body is JSON.
        shape: shape of one image of the model.
        limits: `images` applies.

    Raises:
        RequestError: the body is malformed, has too many images, or does not suit the model.
    """
    expected = _EXPECTED.format(shape=", ".join(map(str, shape)))
    size = _json_size(json_length, len(content), expected)
    document = parse_object(content[:size], expected)
    try:
        (tensor,) = document["inputs"]
        name = str(tensor["name"])
        images = _images(tensor, content[size:], expected)
        outputs = _outputs(document)
        id = document.get("id")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise malformed(expected, f"{error!r:.120}") from error
    if images.shape[1:] != shape or name != "image":
        raise malformed(expected, f"{name!r:.40} of shape {images.shape}")
    check_image_count(len(images), limits)
    return InferRequest(images, outputs, None if id is None else str(id))


def _json_size(header: str | None, body_size: int, expected: str) -> int:
    if header is None:
        return body_size
    # 12 digits are more than any body has, and few enough to convert.
    if not header.isdecimal() or int(header[:12]) > body_size:
        got = f"{JSON_LENGTH_HEADER}: {header[:20]} in a body of {body_size} bytes"
        raise malformed(expected, got)
    return int(header[:12])


def _images(tensor: Mapping[str, Any], binary: bytes, expected: str) -> NDArray[np.uint8]:
    shape = tuple(int(size) for size in tensor["shape"])
    if tensor["datatype"] != "UINT8" or not shape or min(shape) < 1:
        raise ValueError(f"{tensor['datatype']} of shape {shape}")
    if "data" in tensor:
        return grey_levels(tensor["data"], expected).reshape(shape)
    size = int(tensor["parameters"]["binary_data_size"])
    if size != len(binary):
        raise ValueError(f"binary_data_size {size} with {len(binary)} bytes")
    return np.frombuffer(binary, np.uint8).reshape(shape)


def _outputs(document: Mapping[str, Any]) -> dict[str, bool]:
    default = bool(document.get("parameters", {}).get("binary_data_output"))
    requested = document.get("outputs") or [{"name": name} for name in _OUTPUT_TYPES]
    outputs = {
        str(one["name"]): bool(one.get("parameters", {}).get("binary_data", default))
        for one in requested
    }
    if unknown := set(outputs) - set(_OUTPUT_TYPES):
        raise ValueError(f"the outputs {sorted(unknown)}; available: {list(_OUTPUT_TYPES)}")
    return outputs


def run_inference(
    classifier: Classifier, request: InferRequest, name: str
) -> tuple[bytes, int | None]:
    """Return the body of the answer, and the length of its JSON if binary tensors follow it."""
    probabilities = classifier.predict_probabilities(request.images)
    digits = probabilities.argmax(axis=1).astype(np.int64)
    digits[probabilities.max(axis=1) < classifier.spec.threshold] = -1
    results: dict[str, NDArray[Any]] = {"probabilities": probabilities, "digit": digits}
    tensors, binaries = [], []
    for output, is_binary in request.outputs.items():
        values = results[output]
        tensor: dict[str, Any] = {
            "name": output,
            "datatype": _OUTPUT_TYPES[output],
            "shape": list(values.shape),
        }
        if is_binary:
            binaries.append(values.astype(values.dtype.newbyteorder("<")).tobytes())
            tensor["parameters"] = {"binary_data_size": len(binaries[-1])}
        else:
            tensor["data"] = values.ravel().tolist()
        tensors.append(tensor)
    document = {"model_name": name, "model_version": MODEL_VERSION, "outputs": tensors}
    if request.id is not None:
        document["id"] = request.id
    head = json.dumps(document).encode()
    return b"".join((head, *binaries)), len(head) if binaries else None
