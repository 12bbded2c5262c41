"""What is exported: a Keras image classifier, a run's or a user's own."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_mnist.bundle.model_spec import Scaling
from edge_mnist.errors import BundleError, ModelError

from .. import runs


@dataclass(frozen=True)
class SourceModel:
    """A `.keras` file and what is known of its making.

    `data` is what `datasets.find` takes, None where nothing is known of the data; `limit` is how
    many of the training images were used, None for all; `training` goes into the manifest as it
    is; `scaling` is what is made of pixels, None where that has to be found out.
    """

    path: Path
    name: str
    data: str | None = None
    limit: int | None = None
    seed: int = 0
    scaling: Scaling | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str | None = None


def find(path: Path | None) -> SourceModel:
    """Return the model of a run (by default the newest), or any `.keras` file.

    Raises:
        BundleError: there is no such run, or it is not finished.
        ModelError: the file is not a Keras model.
    """
    if path is not None and path.suffix == ".keras" and not (path.parent / "run.json").exists():
        subject = SourceModel(path, path.stem, training={"file": path.name})
    else:
        subject = _of_run(runs.find(path))
    # Known before TensorFlow is imported, which takes seconds.
    if not zipfile.is_zipfile(subject.path):
        raise ModelError(
            f"Expected a Keras model (.keras) at {subject.path}, got "
            f"{'something else' if subject.path.exists() else 'nothing'}; "
            f"train one with: edge-mnist train"
        )
    return subject


def _of_run(run: runs.Run) -> SourceModel:
    record = run.record
    try:
        training = {
            "recipe": record["recipe"],
            "data": record["data"]["train"],
            "device": record["device"],
            "tools": record["tools"],
        }
        return SourceModel(
            run.path / "model.keras",
            record["recipe"]["arch"],
            run.data,
            record["recipe"]["limit"],
            int(record["recipe"]["seed"]),
            Scaling(),
            training,
            record["weights_sha256"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"Expected {run.path / 'run.json'} as edge-mnist train writes it, got a wrong or "
            f"missing field ({error!r}); train again."
        ) from error


def load(subject: SourceModel) -> Any:
    """Load the model: one image in, of a fixed size; one number a class out.

    Raises:
        ModelError: it cannot be loaded, or is not an image classifier.
    """
    import keras

    try:
        model = keras.saving.load_model(subject.path, compile=False)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(_cannot_load(subject.path, str(error))) from error
    _plain(model, subject.path)
    if not getattr(model, "inputs", None):
        raise ModelError(
            f"Expected a model that knows its input, got one never built in {subject.path}; "
            f"begin it with keras.Input, and save it again."
        )
    named = isinstance(getattr(model, "_outputs_struct", None), dict)
    if len(model.inputs) != 1 or len(model.outputs) != 1 or named:
        raise ModelError(
            f"Expected a model with one input and one output, got {len(model.inputs)} and "
            f"{len(model.outputs)}{' by name' if named else ''} in {subject.path}."
        )
    if model.inputs[0].dtype != "float32":
        raise ModelError(
            f"Expected a model that takes float32 images, got {model.inputs[0].dtype} in "
            f"{subject.path}."
        )
    shape, output = tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)
    if len(shape) != 4 or None in shape[1:] or shape[3] not in (1, 3):
        raise ModelError(
            f"Expected a model from images (height, width, 1 or 3) of a fixed size, got an input "
            f"of shape {shape[1:]} in {subject.path}."
        )
    if len(output) != 2 or output[1] is None or output[1] < 2:
        raise ModelError(
            f"Expected a model that answers with a number a class, got an output of shape "
            f"{output[1:]} in {subject.path}."
        )
    if subject.weights_sha256 not in (None, weights_sha256(model)):
        raise ModelError(
            f"Expected the weights that run.json tells of in {subject.path}, got others; "
            f"export the file from a folder without run.json, with its --data."
        )
    return model


def _plain(model: Any, path: Path) -> None:
    """Make a model what every converter takes: float32, constants of its own, no recurrence.

    Raises:
        ModelError: it computes in another precision, is recurrent, or holds no numbers.
    """
    import keras
    import numpy as np

    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
            raise ModelError(
                f"Expected a model without recurrent layers, got {type(layer).__name__} in {path}; "
                f"TensorFlow's converter crashes on these."
            )
        if layer.variable_dtype != "float32":
            raise ModelError(
                f"Expected a model of float32 weights, got {layer.variable_dtype} in {path}; build "
                f"it with the float32 policy and load its weights."
            )
        # Mixed precision is for training on a GPU; the weights are float32.
        layer.dtype_policy = "float32"
        if isinstance(layer, keras.layers.Normalization):
            # As tensors they would be further inputs to tf2onnx.
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise ModelError(f"Expected weights that are numbers, got NaN or infinity in {path}.")


def _cannot_load(path: Path, reason: str) -> str:
    custom = re.search(r"Could not locate class '(\w+)'|(Lambda)` layer", reason)
    if custom:
        return (
            f"Expected a model of Keras's own layers, got the custom {custom[1] or custom[2]} in "
            f"{path}; rebuild it from built-in layers."
        )
    first = (reason.strip().splitlines() or ["no reason given"])[0]
    return f"Expected a Keras model at {path}, got something else ({first}); save it again."


def answers_probabilities(outputs: Any) -> bool:
    """Whether outputs (n, k) are probabilities: none below 0, each row summing to 1.

    1e-3 is far above float32 rounding of a softmax, and no row of logits meets it by chance.
    """
    return bool((outputs >= 0).all() and abs(outputs.sum(axis=1) - 1).max() < 1e-3)


def weights_sha256(model: Any) -> str:
    """Return a hash of the weights alone; the `.keras` file also holds the date."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()
