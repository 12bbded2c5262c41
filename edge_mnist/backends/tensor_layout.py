"""An input tensor's shape in, the arrangement of images in it out.

The first axis is the batch if it is open or 1, if the output has the same first axis, and in every
shape of four axes or more. The other axes give the size; an open side counts as 28:

- three axes: the axis of 1 or 3 is the channels. If both the first and the last could be, it is the
  last in TFLite (NHWC) and the first in ONNX (NCHW);
- two axes: height and width, one channel;
- one axis, not counting axes of 1: a flat square image of one channel, or of three with the
  channels last (784 is 28×28, 3072 is 32×32×3);
- an ONNX input without a shape is taken for (n, 1, 28, 28).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..bundle.model_spec import ModelSpec
from ..errors import ModelError
from .session import Tensor

# Sides of an image in pixels: sklearn's digits are 8×8, and a table of 4 columns is no 2×2 image.
_MIN_SIDE, _MAX_SIDE = 8, 4096
_OPEN = -1


class TensorLayout(NamedTuple):
    """The arrangement of images in an input tensor.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 1 or 3.
        channels_first: whether the channels come before height and width.
        batch: images a call; -1 for any number, 1 without a batch axis.
        tail: the shape without its first axis and without open sizes.
    """

    height: int
    width: int
    channels: int
    channels_first: bool
    batch: int
    tail: tuple[int, ...]


def infer_layout(
    tensor: Tensor, output: Tensor, *, format: str, name: str, spec: ModelSpec | None = None
) -> TensorLayout:
    """Infer how an input tensor holds images.

    Args:
        tensor: the input.
        output: the output, whose first axis may show the batch.
        format: "tflite" or "onnx".
        name: the file's name, for messages.
        spec: what a manifest states of the size, if there is one.

    Raises:
        ModelError: the shape is not that of an image, or not of the spec's image.
    """
    shape = tensor.shape
    if not shape and format == "onnx":
        shape = (_OPEN, 1, 28, 28)
    batched = _has_batch(shape, output.shape)
    rest = shape[1:] if batched else shape
    batch = shape[0] if batched else 1
    size = _stated(rest, spec) if spec else _image(rest, format)
    if batch != _OPEN and not 1 <= batch <= _MAX_SIDE:
        size = None
    if size is None:
        expected = (
            f"{spec.height}×{spec.width}×{spec.channels} image"
            if spec
            else f"image of {_MIN_SIDE} to {_MAX_SIDE} pixels a side and 1 or 3 channels"
        )
        raise ModelError(
            f"Expected a model whose input is one {expected}, got shape {_shown(shape)} in {name}.",
            code="model-input-shape",
        )
    height, width, channels, first = size
    sides = iter((channels, height, width) if first else (height, width, channels))
    # Only a side can be open: the sizes of flat images and of channel axes are known.
    closed = tuple(next(sides) for _ in rest) if _OPEN in rest else rest
    return TensorLayout(height, width, channels, first, batch, closed if batched else closed[1:])


def _has_batch(shape: tuple[int, ...], output: tuple[int, ...]) -> bool:
    if len(shape) >= 4:
        return True
    if len(shape) < 2:
        return False
    if shape[0] in (_OPEN, 1) or (len(output) >= 2 and output[0] == shape[0]):
        return True
    if len(shape) == 2:
        return shape[0] != shape[1]
    return shape[0] != 3 and shape[2] not in (1, 3)


def _image(rest: tuple[int, ...], format: str) -> tuple[int, int, int, bool] | None:
    """Return height, width, channels and whether the channels come first; None if no image."""
    long = [size for size in rest if size != 1]
    if len(long) == 1 and long[0] > 0:
        return _flat(long[0])
    if len(rest) == 2:
        return _sides(*rest, 1, False)
    if len(rest) != 3:
        return None
    first, last = (rest[axis] in (1, 3) for axis in (0, 2))
    if not first and not last and rest[1] == _OPEN:
        first, last = (rest[axis] == _OPEN for axis in (0, 2))
    if first and (not last or format == "onnx"):
        return _sides(rest[1], rest[2], max(rest[0], 1), True)
    return _sides(rest[0], rest[1], max(rest[2], 1), False) if last else None


def _flat(length: int) -> tuple[int, int, int, bool] | None:
    for channels in (1, 3):
        side = math.isqrt(length // channels)
        if side * side * channels == length:
            return _sides(side, side, channels, False)
    return None


def _sides(
    height: int, width: int, channels: int, first: bool
) -> tuple[int, int, int, bool] | None:
    height, width = (28 if side == _OPEN else side for side in (height, width))
    fits = min(height, width) >= _MIN_SIDE and max(height, width) <= _MAX_SIDE
    return (height, width, channels, first) if fits else None


def _stated(rest: tuple[int, ...], spec: ModelSpec) -> tuple[int, int, int, bool] | None:
    """Return the spec's size if `rest` can hold it; an open size is any size."""
    height, width, channels = spec.height, spec.width, spec.channels
    shapes: list[tuple[tuple[int, ...], bool]] = [
        ((height, width, channels), False),
        ((channels, height, width), True),
    ]
    if channels == 1:
        shapes.append(((height, width), False))
    for shape, first in shapes:
        if len(shape) == len(rest) and all(
            a in (b, _OPEN) for a, b in zip(rest, shape, strict=True)
        ):
            return height, width, channels, first
    flat = [size for size in rest if size != 1] == [height * width * channels]
    return (height, width, channels, False) if flat else None


def _shown(shape: tuple[int, ...]) -> str:
    return f"({', '.join('?' if size == _OPEN else str(size) for size in shape)})"
