"""What a file without a manifest says of itself, and what must be assumed.

The scaling of an 8-bit input is read where its quantization spans one of the usual ranges to a
step and a half: uint8 with scale 1/255 and zero point 0 spans 0…1. Where it spans another, the
nearest is assumed of those it would not cut by more than a quarter. An integer input without
quantization takes pixels as they are, int8 less 128. A float input tells nothing: 0…1 is assumed.

The kind of the output is told from what the model answers to four fixed patterns: in [0, 1] and
summing to 1 these are probabilities; in [0, 1] otherwise, or 8-bit integers whose quantization
is unknown, they are scores; all else is logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..backends import Tensor
from ..bundle.model_spec import ModelSpec, Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In the order in which they are tried; the first is assumed where nothing is known. 0…255 is the
# last: saturated, most models of another scaling read it too, and a model of 0…255 no other.
SCALINGS = {
    "0…1": Scaling(),
    "-1…1": Scaling(2 / 255, (1.0,)),
    "MNIST's mean and deviation": Scaling(1 / 255, (0.1307,), (0.3081,)),
    "0…255": Scaling(1.0),
}
_IMAGENET = Scaling(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def scaling_of(tensor: Tensor) -> tuple[Scaling, bool]:
    """Return the scaling that an input speaks for, and whether that is more than a guess."""
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        return SCALINGS["0…1"], False
    if not tensor.scale:
        return Scaling(1.0, (128.0 if dtype == np.int8 else 0.0,)), False
    low, high = _span(tensor)
    misses = {}
    for name, scaling in _uncut(tensor).items():
        miss = abs(high - scaling.value(255))
        # Wider than 8 bits the range is symmetric, whatever the least value.
        if dtype.itemsize == 1:
            miss = max(miss, abs(low - scaling.value(0)))
        if dtype.itemsize == 1 and miss <= 1.5 * tensor.scale:
            return scaling, True
        misses[name] = miss
    return SCALINGS[min(misses, key=lambda name: misses[name])], False


def candidates(tensor: Tensor, channels: int) -> dict[str, Scaling]:
    """Return the scalings worth trying, by name: the likeliest first, then each in negative."""
    first, sure = scaling_of(tensor)
    choices = {name_of(first): first}
    if not sure and (np.dtype(tensor.dtype).kind == "f" or tensor.scale):
        choices |= _uncut(tensor)
        if channels == 3:
            choices["ImageNet's mean and deviation"] = _IMAGENET
    return choices | {f"{name}, in negative": s.inverted() for name, s in choices.items()}


def labels_of(content: bytes, format: str) -> tuple[str, ...]:
    """Return what a file names its outputs; nothing where it does not."""
    if format == "tflite":
        from . import tflite_labels

        return tflite_labels.labels(content)
    from ..backends import onnx_file

    return onnx_file.labels(content)


def _span(tensor: Tensor) -> tuple[float, float]:
    """Return the least and the largest value that a quantized input can stand for."""
    limits = np.iinfo(np.dtype(tensor.dtype))
    return (
        tensor.scale * (limits.min - tensor.zero_point),
        tensor.scale * (limits.max - tensor.zero_point),
    )


def _uncut(tensor: Tensor) -> dict[str, Scaling]:
    """Return the usual scalings less those of which an input would cut off over a quarter.

    A range is calibrated on what the model is meant to take. All of them, if it would cut all.
    """
    if not tensor.scale:
        return SCALINGS
    low, high = _span(tensor)
    left = {}
    for name, scaling in SCALINGS.items():
        ends = scaling.value(0), scaling.value(255)
        cut = max(0.0, low - ends[0]) + max(0.0, ends[1] - high)
        if cut <= (ends[1] - ends[0]) / 4:
            left[name] = scaling
    return left or SCALINGS


def name_of(scaling: Scaling) -> str:
    """Return a scaling's usual name, or its options where it has none."""
    known = SCALINGS | {f"{name}, in negative": s.inverted() for name, s in SCALINGS.items()}
    return next((name for name, one in known.items() if one == scaling), scaling.options)


def patterns(spec: ModelSpec) -> NDArray[np.uint8]:
    """Return four images (4, *spec.shape): black, white, a ramp, and noise of a fixed seed."""
    shape = spec.shape
    ramp = np.linspace(0, 255, int(np.prod(shape))).reshape(shape)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return np.stack([np.zeros(shape), np.full(shape, 255), ramp, noise]).astype(np.uint8)


def kind_of(values: NDArray[np.float32], tensor: Tensor) -> str:
    """Return "probabilities", "scores" or "logits" for outputs (n, classes), dequantized."""
    if np.dtype(tensor.dtype).kind in "iu" and not tensor.scale:
        return "scores" if np.dtype(tensor.dtype).itemsize == 1 else "logits"
    # What an image overflowed on tells nothing.
    values = values[np.isfinite(values).all(axis=1)]
    # Float16 sums of ten are good to a hundredth; a quantized value is good to half a step, and
    # LiteRT's int8 softmax was seen 14 steps off.
    tolerance = 0.01 + tensor.scale * (14 + values.shape[1] / 2)
    if not ((values >= -1e-6) & (values <= 1 + 1e-3)).all():
        return "logits"
    sums = values.sum(axis=1)
    return "probabilities" if (np.abs(sums - 1) <= tolerance).all() else "scores"
