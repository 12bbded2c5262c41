"""The Open Inference Protocol (KServe v2) over REST, for clients that people already have.

https://github.com/kserve/open-inference-protocol, with Triton's extension for binary tensors. A
model takes `image`, UINT8 pixels as MNIST's, white ink on black, and answers `probabilities` and
`digit`, which is -1 where it is less sure than its bundle asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np

from ..system.version import __version__
from .limits import Limits, refuse_many
from .problems import RequestError
from .v1 import grey_levels, parse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..classifier import Classifier

# The length of the JSON before the binary tensors, in requests and answers.
HEADER = "inference-header-content-length"
VERSION = "1"
_FORM = (
    "Expected one input: image, UINT8 of shape (n, {shape}), as data or as binary_data_size bytes "
    "after the JSON"
)
_TYPES = {"probabilities": "FP32", "digit": "INT64"}


@dataclass(frozen=True)
class Asked:
    """A request; `outputs` holds, by name, whether an output is wanted in binary."""

    images: NDArray[np.uint8]
    outputs: Mapping[str, bool]
    id: str | None


def server_metadata() -> dict[str, Any]:
    """Return what the server is."""
    return {"name": "edge-mnist", "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(name: str, classifier: Classifier) -> dict[str, Any]:
    """Return what a model takes and answers; -1 is an open batch."""
    return {
        "name": name,
        "versions": [VERSION],
        "platform": f"{classifier.artifact.format}_{classifier.backend}",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, *classifier.spec.shape]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(classifier.labels)]},
            {"name": "digit", "datatype": "INT64", "shape": [-1]},
        ],
    }


def read(content: bytes, length: str | None, shape: tuple[int, ...], limits: Limits) -> Asked:
    """Return what a body asks for; `length` is the value of `HEADER`.

    Raises:
        RequestError: the body is malformed, or for another model.
    """
    form = _FORM.format(shape=", ".join(map(str, shape)))
    size = len(content) if length is None else _length(length, len(content), form)
    document = parse(content[:size], form)
    try:
        (tensor,) = document["inputs"]
        images = _images(tensor, content[size:], form)
        outputs = _outputs(document)
        id = document.get("id")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RequestError(f"{form}; got {error!r:.120}.", HTTPStatus.BAD_REQUEST) from error
    if images.shape[1:] != shape or tensor["name"] != "image":
        got = f"{tensor['name']!r:.40} of shape {images.shape}"
        raise RequestError(f"{form}; got {got}.", HTTPStatus.BAD_REQUEST)
    refuse_many(len(images), limits)
    return Asked(images, outputs, None if id is None else str(id))


def _length(value: str, most: int, form: str) -> int:
    if not value.isdecimal() or int(value[:12]) > most:
        got = f"{HEADER}: {value[:20]} in a body of {most} bytes"
        raise RequestError(f"{form}; got {got}.", HTTPStatus.BAD_REQUEST)
    return int(value[:12])


def _images(tensor: Mapping[str, Any], rest: bytes, form: str) -> NDArray[np.uint8]:
    shape = tuple(int(size) for size in tensor["shape"])
    if tensor["datatype"] != "UINT8" or not shape or min(shape) < 1:
        raise ValueError(f"{tensor['datatype']} of shape {shape}")
    if "data" in tensor:
        return grey_levels(tensor["data"], form).reshape(shape)
    size = int(tensor["parameters"]["binary_data_size"])
    if size != len(rest):
        raise ValueError(f"binary_data_size {size} with {len(rest)} bytes")
    return np.frombuffer(rest, np.uint8).reshape(shape)


def _outputs(document: Mapping[str, Any]) -> dict[str, bool]:
    binary = bool(document.get("parameters", {}).get("binary_data_output"))
    wanted = document.get("outputs") or [{"name": name} for name in _TYPES]
    outputs = {
        str(one["name"]): bool(one.get("parameters", {}).get("binary_data", binary))
        for one in wanted
    }
    if unknown := set(outputs) - set(_TYPES):
        raise ValueError(f"the outputs {sorted(unknown)}; there are {list(_TYPES)}")
    return outputs


def infer(classifier: Classifier, asked: Asked, name: str) -> tuple[bytes, int | None]:
    """Return the body of the answer, and the length of its JSON if binary tensors follow."""
    probabilities = classifier.predict_probabilities(asked.images)
    digits = probabilities.argmax(axis=1).astype(np.int64)
    digits[probabilities.max(axis=1) < classifier.spec.threshold] = -1
    results: dict[str, NDArray[Any]] = {"probabilities": probabilities, "digit": digits}
    tensors, binaries = [], []
    for output, binary in asked.outputs.items():
        values = results[output]
        tensor: dict[str, Any] = {
            "name": output,
            "datatype": _TYPES[output],
            "shape": list(values.shape),
        }
        if binary:
            binaries.append(values.astype(values.dtype.newbyteorder("<")).tobytes())
            tensor["parameters"] = {"binary_data_size": len(binaries[-1])}
        else:
            tensor["data"] = values.ravel().tolist()
        tensors.append(tensor)
    document = {"model_name": name, "model_version": VERSION, "outputs": tensors}
    if asked.id is not None:
        document["id"] = asked.id
    head = json.dumps(document).encode()
    return b"".join((head, *binaries)), len(head) if binaries else None
