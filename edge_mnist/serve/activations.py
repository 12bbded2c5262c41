"""A loaded model and its input in; the activations of its layers, 8 bits a value, out."""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backends
from ..backends.session import InspectableSession
from ..classifier import Classifier
from ..model_files.malformed import Malformed
from ..model_files.tflite_file import Tensor, read

# BuiltinOperator's numbers of the layers that are shown.
_KINDS = {3: "convolution", 4: "depthwise convolution", 9: "dense"}
# Upper bounds on what is sent of a large model: layers, channels of a layer, side of a map.
_MAX_LAYERS, _MAX_CHANNELS, _MAX_SIDE = 12, 64, 56


class ActivationReader:
    """A second session of a model, which keeps the tensors between its layers.

    Threads take turns. Use `load_reader`.
    """

    def __init__(
        self,
        classifier: Classifier,
        session: InspectableSession,
        layers: Sequence[tuple[str, Tensor]],
    ) -> None:
        self._classifier = classifier
        self._session = session
        self._layers = layers
        self._lock = threading.Lock()

    def read(self, image: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """Return the layers in order for one image of the model's size.

        Returns:
            For each layer its `kind`; `shape`, (h, w, channels) or (units,); `low` and `high`, the
            range of its values with 0 in it; and `values`, a byte each, in base64: 0 for `low`,
            255 for `high`, one channel after another, each row by row. `shown` is the shape of
            `values`, (channels, h, w): less than all of a large layer.
        """
        with self._lock:
            self._session.run(self._classifier.encode(image[np.newaxis]))
            outputs = [self._session.tensor(tensor.index)[0] for _, tensor in self._layers]
        return [
            _layer_json(kind, _dequantize(output, tensor))
            for (kind, tensor), output in zip(self._layers, outputs, strict=True)
        ]


def load_reader(classifier: Classifier) -> ActivationReader | None:
    """Return a reader of a model's layers.

    Returns:
        None if the runtime cannot keep the tensors between the layers, or if the file has no
        convolution or dense layer.

    Raises:
        BundleError: the file is missing, or not as its manifest says.
        ModelError: the runtime refuses it.
    """
    artifact = classifier.artifact
    if artifact.format != "tflite":
        return None
    content = artifact.read()
    layers = _layers(content)
    session = backends.load_inspectable(
        backends.get(classifier.backend), content, name=artifact.name
    )
    return ActivationReader(classifier, session, layers) if session and layers else None


def _layers(content: bytes) -> list[tuple[str, Tensor]]:
    """Return the kind and the output of each layer of a `.tflite` file."""
    try:
        model = read(content)
    except Malformed:  # A file that somebody vouches for is not checked.
        return []
    operators = [one for one in model.graphs[0].operators if one.code in _KINDS]
    return [(_KINDS[one.code], one.outputs[0]) for one in operators][:_MAX_LAYERS]


def _dequantize(output: NDArray[np.generic], tensor: Tensor) -> NDArray[np.float32]:
    values = output.astype(np.float32)
    if not tensor.scales:
        return values
    return (values - np.float32(tensor.zero_points[0])) * np.float32(tensor.scales[0])


def _layer_json(kind: str, values: NDArray[np.float32]) -> dict[str, Any]:
    maps = values.reshape(1, 1, -1) if values.ndim < 3 else values.transpose(2, 0, 1)
    if values.ndim >= 3:
        step = -(-max(maps.shape[1:]) // _MAX_SIDE)
        maps = maps[:_MAX_CHANNELS, ::step, ::step]
    # In double precision, in which no difference overflows. What is not finite is shown as 0.
    maps = np.nan_to_num(maps.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = min(float(maps.min()), 0.0), max(float(maps.max()), 0.0)
    levels = np.rint((maps - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    return {
        "kind": kind,
        "shape": list(values.shape),
        "shown": list(maps.shape),
        "low": round(low, 4),
        "high": round(high, 4),
        "values": base64.b64encode(levels.tobytes()).decode(),
    }
