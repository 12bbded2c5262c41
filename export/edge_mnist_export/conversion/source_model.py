"""A run folder, a Keras file or a SavedModel in, a Keras classifier that can be converted out."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

from edge_mnist.bundle.model_spec import Scaling
from edge_mnist.errors import BundleError, ModelError

from .. import runs

# Suffixes and first bytes of Keras's legacy format.
_HDF5 = (".h5", ".hdf5")
# What a `.keras` archive may unpack to, in bytes: in all, and each JSON file of it.
_MOST_BYTES, _MOST_JSON_BYTES = 2 << 30, 16 << 20
# Errors of Keras for a broken or hostile file: RuntimeError for what is nested too deeply.
_LOAD_ERRORS: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, OSError),
    *(ImportError, OverflowError, zipfile.BadZipFile, zlib.error),
)
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SAVED_MODEL = "saved_model.pb"  # in the folder of a SavedModel
# Signatures under which Keras and TensorFlow export a model for inference.
_SIGNATURES = ("serving_default", "serve")
# Models of other programs: the kind, and how to bring such a model to a device.
_PYTORCH = (
    "PyTorch file",
    "write it as ONNX with torch.onnx.export, and run that file: edge-mnist evaluate MODEL.onnx",
)
_READY = "it needs no export: edge-mnist bundle MODEL --data DATA writes a bundle from it"
_OTHER_KINDS = {
    ".pb": ("TensorFlow graph", f"give the folder that holds {_SAVED_MODEL}"),
    ".pt": _PYTORCH,
    ".pth": _PYTORCH,
    ".onnx": ("ONNX file", _READY),
    ".tflite": ("TFLite file", _READY),
}


@dataclass(frozen=True)
class SourceModel:
    """A Keras model's file and what is known about its training.

    Attributes:
        path: the `.keras` or `.h5` file, or the folder of a SavedModel.
        name: the architecture's name, or the file's.
        data: the data set as `datasets.find` takes it; None if unknown.
        limit: the number of training images that were used; None for all.
        seed: the seed of the training run.
        scaling: how pixels become inputs; None if that has to be inferred.
        labels: the names of the outputs in order; None for the data's classes.
        training: copied into the manifest as it is.
        weights_sha256: the hash that the run recorded; None for a user's own model.
    """

    path: Path
    name: str
    data: str | None = None
    limit: int | None = None
    seed: int = 0
    scaling: Scaling | None = None
    labels: tuple[str, ...] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str | None = None


def find(path: Path | None) -> SourceModel:
    """Locate the model to export, without loading it.

    Args:
        path: a run folder, its model.keras, any other `.keras` or `.h5` file, or a SavedModel's
            folder; None for the newest run.

    Raises:
        BundleError: there is no such run, or it is not finished.
        ModelError: the file is not a Keras model.
    """
    if path is not None and path.exists():
        _check_kind(path)
    if path is not None and _is_own(path):
        source_model = SourceModel(path, path.stem, training={"file": path.name})
    else:
        source_model = _from_run(runs.find(path))
    # Checked here, before TensorFlow is imported, which takes seconds.
    if not _is_keras_file(source_model.path):
        raise ModelError(
            f"Expected a Keras model (.keras or .h5) at {source_model.path}, got "
            f"{'something else' if source_model.path.exists() else 'nothing'}; "
            f"train one with: edge-mnist train",
            code="model-keras-file",
        )
    return source_model


def save(model: Any, folder: Path) -> SourceModel:
    """Save a Keras model in memory to a file in `folder`, from which it is exported.

    Raises:
        ModelError: it is not a Keras model, or cannot be saved.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(
            f"Expected a run, a path or a Keras model, got {type(model).__name__}.",
            code="model-kind",
        )
    path = folder / f"{model.name}.keras"
    try:
        model.save(path)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ModelError(_load_message(path, str(error)), code="model-keras-load") from error
    return SourceModel(path, model.name)


def _check_kind(path: Path) -> None:
    """Raise ModelError for a model of another program, with the way to a model that works."""
    if path.suffix.lower() in _OTHER_KINDS:
        kind, remedy = _OTHER_KINDS[path.suffix.lower()]
        raise ModelError(
            f"Expected a Keras model (.keras, .h5 or a SavedModel) or a run folder, got the {kind} "
            f"{path}; {remedy}.",
            code="model-not-keras",
        )


def _is_own(path: Path) -> bool:
    """Return whether a file is a user's own model, not that of a run."""
    in_run = (path.parent / "run.json").exists()
    keras = path.suffix == ".keras" and not in_run
    return keras or path.suffix.lower() in _HDF5 or _is_saved_model(path)


def _is_saved_model(path: Path) -> bool:
    return (path / _SAVED_MODEL).is_file()


def _is_keras_file(path: Path) -> bool:
    if _is_saved_model(path):
        return True
    if path.suffix.lower() not in _HDF5:
        return zipfile.is_zipfile(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE


def _from_run(run: runs.Run) -> SourceModel:
    record = run.record
    try:
        recipe = record["recipe"]
        return SourceModel(
            path=run.path / "model.keras",
            name=recipe["arch"],
            data=run.data,
            limit=recipe["limit"],
            seed=int(recipe["seed"]),
            scaling=Scaling(),
            labels=tuple(record["labels"]) if "labels" in record else None,
            training={
                "recipe": recipe,
                "data": record["data"]["train"],
                "device": record["device"],
                "tools": record["tools"],
            },
            weights_sha256=record["weights_sha256"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"Expected {run.path / 'run.json'} as edge-mnist train writes it, got a wrong or "
            f"missing field ({error!r}); train again.",
            code="bundle-run-field",
        ) from error


def load(source_model: SourceModel) -> Any:
    """Load the Keras model and prepare it for the converters.

    Returns:
        A Keras model with one input (n, h, w, 1 or 3) float32 and one output (n, classes).

    Raises:
        ModelError: it cannot be loaded, is not an image classifier, or cannot be converted.
    """
    import keras

    path = source_model.path
    try:
        if _is_saved_model(path):
            model = _load_saved_model(path)
        else:
            _check_archive(path)
            # Code in a file, such as that of a Lambda layer, is refused and not run.
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except _LOAD_ERRORS as error:
        raise ModelError(_load_message(path, str(error)), code="model-keras-load") from error
    for layer in model._flatten_layers(include_self=False):
        _prepare_layer(layer, path)
    _check_interface(model, path)
    _check_weights(model, source_model)
    return model


def _check_archive(path: Path) -> None:
    """Raise ValueError for a `.keras` archive that would unpack elsewhere, or to any size."""
    if not zipfile.is_zipfile(path):  # An HDF5 file.
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    for entry in entries:
        parts = PureWindowsPath(entry.filename).parts  # It knows the separators of both systems.
        if PureWindowsPath(entry.filename).anchor or ".." in parts:
            raise ValueError(f"a file outside of the archive, {entry.filename[:80]!r}")
        if entry.filename.endswith(".json") and entry.file_size > _MOST_JSON_BYTES:
            raise ValueError(f"{entry.filename[:80]} of {entry.file_size:,} bytes")
    if (size := sum(entry.file_size for entry in entries)) > _MOST_BYTES:
        raise ValueError(f"an archive that unpacks to {size:,} bytes")


def _load_saved_model(path: Path) -> Any:
    """Return a Keras model that runs the SavedModel's signature for inference."""
    import keras
    import tensorflow as tf

    signatures = tf.saved_model.load(str(path)).signatures
    name = next((name for name in _SIGNATURES if name in signatures), None)
    taken = signatures[name].structured_input_signature[1] if name else {}
    if len(taken) != 1 or next(iter(taken.values())).shape.rank is None:
        raise ModelError(
            f"Expected a SavedModel with a signature {' or '.join(_SIGNATURES)} of one input, got "
            f"{', '.join(signatures) or 'none'} in {path}; export it from Keras with "
            f"model.export({path.name!r}).",
            code="model-signature",
        )
    (spec,) = taken.values()
    image = keras.Input(spec.shape[1:], dtype=spec.dtype.name)
    outputs = keras.layers.TFSMLayer(str(path), call_endpoint=name)(image)
    named = isinstance(outputs, dict) and len(outputs) == 1
    return keras.Model(image, next(iter(outputs.values())) if named else outputs, name="model")


def _load_message(path: Path, reason: str) -> str:
    custom = re.search(r"Could not locate class '(\w+)'|(Lambda)` layer", reason)
    if custom:
        return (
            f"Expected a model of Keras's own layers, got the custom {custom[1] or custom[2]} in "
            f"{path}; rebuild it from built-in layers."
        )
    first_line = (reason.strip().splitlines() or ["no reason given"])[0]
    return f"Expected a Keras model at {path}, got something else ({first_line}); save it again."


def _prepare_layer(layer: Any, path: Path) -> None:
    """Make a layer compute in float32 from constants of its own, or raise ModelError."""
    import keras
    import numpy as np

    if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
        raise ModelError(
            f"Expected a model without recurrent layers, got {type(layer).__name__} in {path}; "
            f"TensorFlow's converter crashes on these.",
            code="model-recurrent",
        )
    if layer.variable_dtype != "float32":
        raise ModelError(
            f"Expected a model of float32 weights, got {layer.variable_dtype} in {path}; build "
            f"it with the float32 policy and load its weights.",
            code="model-weight-dtype",
        )
    # Mixed precision only speeds up training on a GPU. The weights are float32.
    layer.dtype_policy = "float32"
    if isinstance(layer, keras.layers.Normalization):
        # tf2onnx would take tensors for additional inputs of the model.
        layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)


def _check_weights(model: Any, source_model: SourceModel) -> None:
    import numpy as np

    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise ModelError(
            f"Expected weights that are numbers, got NaN or infinity in {source_model.path}; "
            f"train it again.",
            code="model-weights-finite",
        )
    if source_model.weights_sha256 not in (None, weights_sha256(model)):
        raise ModelError(
            f"Expected the weights that run.json records in {source_model.path}, got others; "
            f"export the file from a folder without run.json, with its --data.",
            code="model-weights-hash",
        )


def _check_interface(model: Any, path: Path) -> None:
    """Raise ModelError unless the model maps one float32 image to one number per class."""
    if not getattr(model, "inputs", None):
        raise ModelError(
            f"Expected a model with a defined input, got one that was never built in {path}; "
            f"begin it with keras.Input, and save it again.",
            code="model-not-built",
        )
    by_name = isinstance(getattr(model, "_outputs_struct", None), dict)
    if len(model.inputs) != 1 or len(model.outputs) != 1 or by_name:
        raise ModelError(
            f"Expected a model with one input and one output, got {len(model.inputs)} and "
            f"{len(model.outputs)}{' by name' if by_name else ''} in {path}.",
            code="model-interface",
        )
    if model.inputs[0].dtype != "float32":
        raise ModelError(
            f"Expected a model that takes float32 images, got {model.inputs[0].dtype} in {path}.",
            code="model-input-dtype",
        )
    shape, output = tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)
    if len(shape) != 4 or None in shape[1:] or shape[3] not in (1, 3):
        raise ModelError(
            f"Expected a model from images (height, width, 1 or 3) of a fixed size, got an input "
            f"of shape {shape[1:]} in {path}.",
            code="model-input-shape",
        )
    if len(output) != 2 or output[1] is None or output[1] < 2:
        raise ModelError(
            f"Expected a model with one output number per class, got an output of shape "
            f"{output[1:]} in {path}.",
            code="model-output-shape",
        )


def weights_sha256(model: Any) -> str:
    """Return a hash of the weights alone. The `.keras` file also contains its date."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()
