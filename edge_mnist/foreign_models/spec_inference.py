"""A foreign model, loaded, in; its model spec out: read from the file, measured, or assumed.

Input scaling of an 8-bit input: read where its quantization spans a usual range within 1.5 steps.
For example, uint8 with scale 1/255 and zero point 0 spans 0…1. Otherwise the nearest usual range is
assumed, among those of which the input would cut off at most a quarter. An integer input without
quantization takes pixels unchanged, int8 after subtracting 128. A float input states nothing: 0…1
is assumed.

Kind of output: inferred from the outputs for four fixed patterns. Values in [0, 1] that sum to 1
are probabilities. Other values in [0, 1], and 8-bit integers without quantization, are scores. All
else is logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..backends import Tensor
from ..bundle.model_spec import ModelSpec, Scaling
from ..errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..backends.quantized_io import QuantizedIO

# In the order in which they are tried; the first is assumed where nothing is known. 0…255 comes
# last: most models of another scaling read saturated pixels too, but not the other way round.
SCALINGS = {
    "0…1": Scaling(),
    "-1…1": Scaling(2 / 255, (1.0,)),
    "MNIST's mean and deviation": Scaling(1 / 255, (0.1307,), (0.3081,)),
    "0…255": Scaling(1.0),
}
_IMAGENET = Scaling(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class InferredSpec(NamedTuple):
    """The model spec of a foreign file.

    Attributes:
        spec: what the model takes and answers.
        scaling_from: where its scaling comes from: "given", "file" or "assumed".
        output_shape: the shape of the raw output for the smallest batch.
    """

    spec: ModelSpec
    scaling_from: str
    output_shape: tuple[int, ...]


def infer_spec(
    io: QuantizedIO, content: bytes, *, format: str, name: str, scaling: Scaling | None = None
) -> InferredSpec:
    """Infer the model spec from the tensors, the file's labels and the answers to four patterns.

    An open batch is closed to 1 if the model mixes up the images of a batch.

    Args:
        io: the loaded model. Its spec is set along the way; `bind` is left to the caller.
        content: the file's bytes, for its labels.
        format: "tflite" or "onnx".
        name: the file's name, for messages.
        scaling: what the caller knows of the pixels, if anything.

    Raises:
        ModelError: the model does not answer images with scores.
    """
    in_file, certain = scaling_of(io.session.input)
    layout = io.layout
    # The kind of output is not known yet: outputs come unchanged.
    spec = ModelSpec(layout.height, layout.width, layout.channels, scaling or in_file)
    io.use(spec)
    images = patterns(spec)
    outputs = [_scores(io, image[np.newaxis], name) for image in images]
    scores, output_shape = np.concatenate([values for values, _ in outputs]), outputs[0][1]
    if not np.isfinite(scores).any():
        raise ModelError(
            f"Expected finite scores, got none for any of {len(images)} images in {name}.",
            code="model-not-finite",
        )
    if layout.batch == -1 and not _takes_batches(io, images, scores, name):
        io.close_batch()
    labels = labels_of(content, format)
    if len(labels) != scores.shape[1]:
        labels = tuple(map(str, range(scores.shape[1])))
    spec = spec._replace(labels=labels, output=kind_of(scores, io.session.output))
    io.use(spec)
    source = "given" if scaling else "file" if certain else "assumed"
    return InferredSpec(spec, source, output_shape)


def _scores(
    io: QuantizedIO, images: NDArray[np.uint8], name: str
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Return the scores (n, classes) of a model of unknown output, and its raw shape."""
    count = max(len(images), io.layout.batch)
    output = np.asarray(io.run(images))
    per_image = output.shape[1:] if output.shape[:1] == (count,) else output.shape
    classes = [size for size in per_image if size != 1]
    if len(classes) != 1 or output.size != count * classes[0]:
        raise ModelError(
            f"Expected an output of two scores or more for every image, got shape "
            f"{output.shape} for {count} in {name}.",
            code="model-outputs",
        )
    values = io.dequantize(output).reshape(count, -1)
    return values[: len(images)], output.shape


def _takes_batches(
    io: QuantizedIO, images: NDArray[np.uint8], expected: NDArray[np.float32], name: str
) -> bool:
    """Return whether a batch is answered as each image alone; an open size does not promise it."""
    try:
        together, _ = _scores(io, images, name)
    except ModelError:
        return False
    # The order of summation may differ, by up to 1 %. Mixed-up images differ wholly.
    span = float(np.ptp(expected[np.isfinite(expected)]))
    return together.shape == expected.shape and np.allclose(
        together, expected, rtol=1e-2, atol=1e-2 * span, equal_nan=True
    )


def scaling_of(tensor: Tensor) -> tuple[Scaling, bool]:
    """Return the scaling that an input's quantization implies, and whether it is certain."""
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        return SCALINGS["0…1"], False
    if not tensor.scale:
        return Scaling(1.0, (128.0 if dtype == np.int8 else 0.0,)), False
    low, high = _span(tensor)
    misses = {}
    for name, scaling in _representable(tensor).items():
        miss = abs(high - scaling.value(255))
        # Wider types than 8 bits are quantized symmetrically, whatever the least value is.
        if dtype.itemsize == 1:
            miss = max(miss, abs(low - scaling.value(0)))
        if dtype.itemsize == 1 and miss <= 1.5 * tensor.scale:
            return scaling, True
        misses[name] = miss
    return SCALINGS[min(misses, key=lambda name: misses[name])], False


def candidates(tensor: Tensor, channels: int) -> dict[str, Scaling]:
    """Return the scalings worth trying, by name: the likeliest first, then each in negative."""
    first, certain = scaling_of(tensor)
    choices = {name_of(first): first}
    if not certain and (np.dtype(tensor.dtype).kind == "f" or tensor.scale):
        choices |= _representable(tensor)
        if channels == 3:
            choices["ImageNet's mean and deviation"] = _IMAGENET
    return choices | {f"{name}, in negative": s.inverted() for name, s in choices.items()}


def name_of(scaling: Scaling) -> str:
    """Return a scaling's usual name, or its command-line options if it has none."""
    known = SCALINGS | {f"{name}, in negative": s.inverted() for name, s in SCALINGS.items()}
    return next((name for name, one in known.items() if one == scaling), scaling.options)


def labels_of(content: bytes, format: str) -> tuple[str, ...]:
    """Return the labels that a file holds; an empty tuple if it holds none."""
    # Imported late: `zipfile` is needed only for a foreign .tflite file.
    if format == "tflite":
        from .tflite_labels import labels
    else:
        from ..model_files.onnx_file import labels
    return labels(content)


def patterns(spec: ModelSpec) -> NDArray[np.uint8]:
    """Return four images (4, *spec.shape): black, white, a ramp, and noise of a fixed seed."""
    shape = spec.shape
    ramp = np.linspace(0, 255, int(np.prod(shape))).reshape(shape)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return np.stack([np.zeros(shape), np.full(shape, 255), ramp, noise]).astype(np.uint8)


def kind_of(values: NDArray[np.float32], tensor: Tensor) -> str:
    """Return "probabilities", "scores" or "logits" for dequantized outputs (n, classes)."""
    if np.dtype(tensor.dtype).kind in "iu" and not tensor.scale:
        return "scores" if np.dtype(tensor.dtype).itemsize == 1 else "logits"
    # An image on which the model overflowed tells nothing.
    values = values[np.isfinite(values).all(axis=1)]
    # Tolerance of a row's sum. Float16 sums of ten are good to 0.01; a quantized value to half a
    # step; LiteRT's int8 softmax was up to 14 steps off.
    tolerance = 0.01 + tensor.scale * (14 + values.shape[1] / 2)
    if not ((values >= -1e-6) & (values <= 1 + 1e-3)).all():
        return "logits"
    sums = values.sum(axis=1)
    return "probabilities" if (np.abs(sums - 1) <= tolerance).all() else "scores"


def _span(tensor: Tensor) -> tuple[float, float]:
    """Return the least and the greatest value that a quantized input represents."""
    limits = np.iinfo(np.dtype(tensor.dtype))
    return (
        tensor.scale * (limits.min - tensor.zero_point),
        tensor.scale * (limits.max - tensor.zero_point),
    )


def _representable(tensor: Tensor) -> dict[str, Scaling]:
    """Return the usual scalings of which an input cuts off at most a quarter; all if none fits.

    A range is calibrated on what the model is meant to take.
    """
    if not tensor.scale:
        return SCALINGS
    low, high = _span(tensor)
    fitting = {}
    for name, scaling in SCALINGS.items():
        ends = scaling.value(0), scaling.value(255)
        cut = max(0.0, low - ends[0]) + max(0.0, ends[1] - high)
        if cut <= (ends[1] - ends[0]) / 4:
            fitting[name] = scaling
    return fitting or SCALINGS
