"""Pixels in, values out: a loaded model, told how it takes pixels, on the shortest way there is."""

from __future__ import annotations

import _thread  # threading, which wraps it, takes half a millisecond to import
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..bundle.model_spec import ModelSpec
    from . import Run, Session, Tensor
    from .tensor_layout import TensorLayout

# How many images an open-batch model is given at once: the best of 1 to 256, and little for a
# small processor's cache. docs/performance.md has the table.
BATCH = 32
# An integer input without a scale holds pixels; fewer steps than these are not pixels.
_LEAST_SPAN = 64


class QuantizedIO:
    """A session, the layout of its input, and a table of what each pixel value becomes.

    Threads that share it take turns. `use` comes first, and `bind` before `one` and `many`.
    """

    def __init__(self, session: Session, layout: TensorLayout) -> None:
        self._session = session
        self._batch, self._tail = layout.batch, layout.tail
        self._count = max(1, layout.batch)
        self._transposed = layout.channels_first and layout.channels > 1
        self._values = _output_values(session.output)
        self._lock = _thread.allocate_lock()

    def use(self, spec: ModelSpec) -> None:
        """Take pixels as `spec` says. Raises ModelError where the input cannot."""
        self._shape = spec.shape
        self._table = _pixel_values(self._session.input, spec)
        self._channel: NDArray[np.intp] | None = None
        if self._table is not None and self._table.ndim == 2:
            channels = np.broadcast_to(np.arange(spec.channels), spec.shape)
            arranged = channels.transpose(2, 0, 1) if self._transposed else channels
            self._channel = arranged.reshape(-1, *self._tail)

    def close_batch(self) -> None:
        """Take an open batch for 1: a model that mixes up several images at once."""
        self._batch = 1

    def bind(self, output: tuple[int, ...]) -> None:
        """Bind the tensors for one image, once; `output` is the shape of what is answered then."""
        black = self.encode(np.zeros((1, *self._shape), np.uint8))
        self._input, self._run = self._session.bind(black.shape, output)
        self._input[...] = black
        self._output_shape = output
        # A view of the first image in the input, to be filled through the table.
        first = self._input.reshape(self._count, -1)[0]
        plain = not self._transposed and self._channel is None
        self._slot = first.reshape(self._shape) if plain else None
        self._as_it_stands = plain and self._table is None and self._count == 1
        self._read = self._reader(output)

    def renew_lock(self) -> None:
        """Forget who has the turn: in a forked process, a thread that is not there."""
        self._lock = _thread.allocate_lock()

    def one(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the values (classes,) for an image of the spec's shape."""
        with self._lock:
            return self._read(self._run(self._values_of(pixels)))

    @property
    def steps(self) -> tuple[Callable[..., Any], Run, Callable[..., NDArray[np.float32]]]:
        """What `one` does, to be timed apart: pixels to input, to raw output, to values.

        `bind` changes them, and they take no turns.
        """
        return self._values_of, self._run, self._read

    def many(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the values (n, classes) for images (n, …) of the spec's shape."""
        size = BATCH if self._batch == -1 else self._batch
        answer = self._one_by_one if size == 1 else self._together
        step = BATCH if size == 1 else size
        parts = [answer(images[start : start + step]) for start in range(0, len(images), step)]
        return self.dequantize(np.concatenate(parts))

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return the raw output for images (n, …), whatever its shape."""
        with self._lock:
            return self._session.run(self.encode(images))

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return pixels (n, …) uint8 of the spec's shape as the model's input takes them.

        A fixed batch is filled up with black images.
        """
        if len(images) < self._batch:
            missing = self._batch - len(images)
            black = np.zeros((missing, *images.shape[1:]), np.uint8)
            images = np.concatenate([images, black])
        if self._transposed:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        # The first axis is the batch's, or without one the image's own.
        shaped = images.reshape(-1, *self._tail)
        if self._table is None:
            return shaped
        encoded: NDArray[np.generic] = (
            self._table[shaped] if self._channel is None else self._table[shaped, self._channel]
        )
        return encoded

    def dequantize(self, output: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return a new float32 array of the raw output's shape."""
        if self._values is None:
            return output.astype(np.float32)
        values: NDArray[np.float32]
        if isinstance(self._values, np.ndarray):
            values = self._values.take(output.view(np.uint8))
        else:
            scale, zero_point = self._values
            values = (output.astype(np.float32) - zero_point) * scale
        return values

    def _values_of(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return one image as the bound input takes it."""
        if self._as_it_stands:
            return pixels.reshape(self._input.shape)
        if self._slot is None or self._table is None:
            return self.encode(pixels[np.newaxis])
        self._table.take(pixels, out=self._slot, mode="clip")
        return self._input

    def _reader(self, output: tuple[int, ...]) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """Return what makes new values (classes,) of the raw output of that shape."""
        table = self._values
        plain = len(output) == 2 and self._count == output[0] == 1
        if plain and isinstance(table, np.ndarray) and self._session.output.dtype == "uint8":
            take = table.take
            return lambda output: take(output[0])
        return lambda output: self.dequantize(output).reshape(self._count, -1)[0]

    def _one_by_one(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        values = self.encode(images).reshape(len(images), *self._input.shape)
        shape = (len(images), *self._output_shape)
        outputs: NDArray[np.generic] = np.empty(shape, self._session.output.dtype)
        with self._lock:
            for index, image in enumerate(values):
                outputs[index] = self._run(image)
        return outputs.reshape(len(images), -1)

    def _together(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        count = max(len(images), self._batch)
        return self.run(images).reshape(count, -1)[: len(images)]


def _output_values(tensor: Tensor) -> NDArray[np.float32] | tuple[np.float32, np.float32] | None:
    """Return what outputs stand for: of 8 bits a table by byte, of others scale and zero point.

    None where they stand for themselves.
    """
    zero_point = np.float32(tensor.zero_point)
    scale = np.float32(tensor.scale)
    if tensor.dtype == "int8" and not tensor.scale:
        # Of unknown scale they are counted from the least.
        zero_point, scale = np.float32(-128), np.float32(1)
    if not scale:
        return None
    if tensor.dtype not in ("uint8", "int8"):
        return scale, zero_point
    outputs = np.arange(256, dtype=np.uint8).view(tensor.dtype).astype(np.float32)
    return cast("NDArray[np.float32]", (outputs - zero_point) * scale)


def _pixel_values(tensor: Tensor, spec: ModelSpec) -> NDArray[np.generic] | None:
    """Return the input value of each of the 256 pixel values; None where they are the same.

    (256,), or (256, channels) where these differ. Quantization is
    `q = round(value / scale) + zero_point`, cut to the dtype's range. A table serves every
    dtype, so that integer models see no float.
    """
    values = _values(spec)
    dtype = np.dtype(tensor.dtype) if tensor.dtype.startswith(("float", "int", "uint")) else None
    if dtype is None:
        raise ModelError(
            f"Expected an input of floats or integers, got {tensor.dtype} for {tensor.name!r}."
        )
    if dtype.kind == "f":
        return values.astype(dtype)
    if not tensor.scale and np.ptp(values) < _LEAST_SPAN:
        raise ModelError(
            f"Expected a scale and zero point for the {tensor.dtype} input {tensor.name!r}, or "
            f"pixels as they are, got no scale in the file and pixels in {values.min():g} to "
            f"{values.max():g}; try --scale 1."
        )
    limits = np.iinfo(dtype)
    quantized = np.rint(values / (tensor.scale or 1.0)) + tensor.zero_point
    table = np.clip(quantized, limits.min, limits.max).astype(dtype)
    return None if dtype == np.uint8 and np.array_equal(table, np.arange(256)) else table


def _values(spec: ModelSpec) -> NDArray[np.float64]:
    """Return the float value of each of the 256 pixel values: (256,) or (256, channels)."""
    scaling = spec.scaling
    counts = {len(scaling.mean), len(scaling.std)} - {1}
    if counts - {spec.channels}:
        raise ModelError(
            f"Expected one mean and deviation, or one for each of {spec.channels} channels, "
            f"got {scaling.options}."
        )
    mean, std = np.array(scaling.mean), np.array(scaling.std)
    # The same operations on the same float64 as `Scaling.value` has.
    values: NDArray[np.float64] = (np.arange(256)[:, np.newaxis] * scaling.scale - mean) / std
    return values if counts else values[:, 0]
