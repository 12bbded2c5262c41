"""Pixels in, dequantized outputs out: a session with the encoding of its input and output.

Quantization is `q = round(value / scale) + zero_point`, clipped to the dtype's range. A table of
256 entries encodes pixels for every dtype, so that an integer model needs no float arithmetic.
"""

from __future__ import annotations

# The locks of `threading`, a module that takes 10 % of the import time of `Classifier`.
import _thread  # noqa: PLC2701
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..bundle.model_spec import ModelSpec
    from .session import Run, Session, Tensor
    from .tensor_layout import TensorLayout

# Images per call of a model with an open batch: the fastest of 1 to 256, and small enough for a
# small processor's cache. docs/performance.md has the measurements.
BATCH = 32
# An integer input without a scale takes pixels; a range of fewer values than this is no pixels.
_MIN_PIXEL_SPAN = 64
# Bounds on a scale, far outside of those of real models. Within them every dequantized value is a
# finite float32, and every quantized pixel a finite float64.
_LEAST_SCALE, _MOST_SCALE = 1e-30, 1e18


class QuantizedIO:
    """A session, its input layout, and the tables that encode pixels and dequantize outputs.

    Threads that share one take turns. Call `use` first, and `bind` before `one` and `many`.

    Raises:
        ModelError: a scale of the file is negative, infinite or NaN.

    Attributes:
        session: the loaded model.
        layout: how its input tensor holds images.
        one_as_bytes: a function from one image of the spec's shape to a copy of the raw output's
            bytes; `byte_values` says what they stand for.
    """

    def __init__(self, session: Session, layout: TensorLayout) -> None:
        _check_scale(session.input)
        _check_scale(session.output)
        self.session = session
        self.layout = layout
        self._batch, self._tail = layout.batch, layout.tail
        self._count = max(1, layout.batch)
        self._transposed = layout.channels_first and layout.channels > 1
        self._dequantized = _output_values(session.output)
        self._lock = _thread.allocate_lock()

    def use(self, spec: ModelSpec) -> None:
        """Encode pixels as a model spec states.

        Raises:
            ModelError: the input's dtype cannot hold them, or they are not finite.
        """
        self._shape = spec.shape
        self._table = _pixel_values(self.session.input, spec)
        self._channel: NDArray[np.intp] | None = None
        if self._table is not None and self._table.ndim == 2:
            channels = np.broadcast_to(np.arange(spec.channels), spec.shape)
            arranged = channels.transpose(2, 0, 1) if self._transposed else channels
            self._channel = arranged.reshape(-1, *self._tail)

    def close_batch(self) -> None:
        """Run one image a call from now on, although the batch is open."""
        self._batch = 1

    def bind(self, output: tuple[int, ...]) -> None:
        """Allocate the tensors for one image.

        Args:
            output: the shape of the raw output for the smallest batch.
        """
        black = self.encode(np.zeros((1, *self._shape), np.uint8))
        self._input, self._run = self.session.bind(black.shape, output)
        self._input[...] = black
        self._input_shape = black.shape
        self._output_shape = output
        # A view of the first image in the input, which `_encode_one` fills through the table.
        first = self._input.reshape(self._count, -1)[0]
        same_order = not self._transposed and self._channel is None
        self._slot = first.reshape(self._shape) if same_order else None
        self._unchanged = same_order and self._table is None and self._count == 1
        self.one_as_bytes = self._one_as_bytes()

    def renew_lock(self) -> None:
        """Make a new lock: in a forked process, its holder does not exist."""
        self._lock = _thread.allocate_lock()
        self.one_as_bytes = self._one_as_bytes()

    @property
    def byte_values(self) -> NDArray[np.float32] | None:
        """The values (256,) of the bytes of `one_as_bytes`, in rising order; None if unordered."""
        ordered = self.session.output.dtype == "uint8" and self._count == 1
        return self._dequantized if ordered and isinstance(self._dequantized, np.ndarray) else None

    def one(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the values (classes,) for one image of the spec's shape."""
        with self._lock:
            return self.decode_one(self._run(self._encode_one(pixels)))

    @property
    def steps(self) -> tuple[Callable[..., Any], Run]:
        """The first steps of `one`: encode pixels, run. They take no lock. `bind` replaces them."""
        return self._encode_one, self._run

    def many(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the values (n, classes) for images (n, …) of the spec's shape."""
        size = BATCH if self._batch == -1 else self._batch
        run = self._run_one_by_one if size == 1 else self._run_batch
        step = BATCH if size == 1 else size
        parts = [run(images[start : start + step]) for start in range(0, len(images), step)]
        return self.dequantize(np.concatenate(parts))

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return the raw output for images (n, …), whatever its shape."""
        with self._lock:
            return self.session.run(self.encode(images))

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return images (n, …) uint8 of the spec's shape as the input tensor takes them.

        A fixed batch is filled up with black images.
        """
        if len(images) < self._batch:
            black = np.zeros((self._batch - len(images), *images.shape[1:]), np.uint8)
            images = np.concatenate([images, black])
        if self._transposed:
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        # The first axis is the batch; in an input without a batch axis, the image's height.
        shaped = images.reshape(-1, *self._tail)
        if self._table is None:
            return shaped
        encoded: NDArray[np.generic] = (
            self._table[shaped] if self._channel is None else self._table[shaped, self._channel]
        )
        return encoded

    def dequantize(self, output: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return a raw output as a new float32 array of the same shape."""
        if self._dequantized is None:
            return output.astype(np.float32)
        values: NDArray[np.float32]
        if isinstance(self._dequantized, np.ndarray):
            values = self._dequantized.take(output.view(np.uint8))
        else:
            scale, zero_point = self._dequantized
            values = (output.astype(np.float32) - zero_point) * scale
        return values

    def _one_as_bytes(self) -> Callable[[NDArray[np.uint8]], bytes]:
        """Return `one_as_bytes`. A method that calls `_encode_one` would take 0.1 µs longer."""
        lock, run, encode, shape = self._lock, self._run, self._encode_one, self._input_shape

        def one(pixels: NDArray[np.uint8]) -> bytes:
            with lock:
                return run(encode(pixels)).tobytes()

        def unchanged(pixels: NDArray[np.uint8]) -> bytes:
            with lock:
                return run(pixels.reshape(shape)).tobytes()

        return unchanged if self._unchanged else one

    def decode_one(self, output: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the values (classes,) of the first image in a raw output."""
        values: NDArray[np.float32] = self.dequantize(output).reshape(self._count, -1)[0]
        return values

    def _encode_one(self, pixels: NDArray[np.uint8]) -> NDArray[np.generic]:
        if self._unchanged:
            return pixels.reshape(self._input_shape)
        if self._slot is None or self._table is None:
            return self.encode(pixels[np.newaxis])
        self._table.take(pixels, out=self._slot, mode="clip")
        return self._input

    def _run_one_by_one(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        values = self.encode(images).reshape(len(images), *self._input.shape)
        shape = (len(images), *self._output_shape)
        outputs: NDArray[np.generic] = np.empty(shape, self.session.output.dtype)
        with self._lock:
            for index, image in enumerate(values):
                outputs[index] = self._run(image)
        return outputs.reshape(len(images), -1)

    def _run_batch(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        count = max(len(images), self._batch)
        return self.run(images).reshape(count, -1)[: len(images)]


def _check_scale(tensor: Tensor) -> None:
    """Refuse a scale under which a value is not finite, or a greater byte stands for a less one."""
    if tensor.scale and not _LEAST_SCALE <= tensor.scale <= _MOST_SCALE:
        raise ModelError(
            f"Expected a scale in {_LEAST_SCALE:g} to {_MOST_SCALE:g} for the tensor "
            f"{tensor.name[:80]!r}, got {tensor.scale:g}; export the model again.",
            code="model-quantization",
        )


def _output_values(tensor: Tensor) -> NDArray[np.float32] | tuple[np.float32, np.float32] | None:
    """Return how to dequantize: a table by byte for 8 bits, otherwise scale and zero point.

    None for an output that is not quantized.
    """
    zero_point = np.float32(tensor.zero_point)
    scale = np.float32(tensor.scale)
    if tensor.dtype == "int8" and not tensor.scale:
        # Without a scale, values count from the least int8.
        zero_point, scale = np.float32(-128), np.float32(1)
    if not scale:
        return None
    if tensor.dtype not in ("uint8", "int8"):
        return scale, zero_point
    outputs = np.arange(256, dtype=np.uint8).view(tensor.dtype).astype(np.float32)
    return cast("NDArray[np.float32]", (outputs - zero_point) * scale)


def _pixel_values(tensor: Tensor, spec: ModelSpec) -> NDArray[np.generic] | None:
    """Return the encoded value of each of the 256 pixel values; None if they are unchanged.

    The shape is (256,), or (256, channels) if the channels are scaled differently.
    """
    if not tensor.dtype.startswith(("float", "int", "uint")):
        raise ModelError(
            f"Expected an input of floats or integers, got {tensor.dtype} for {tensor.name!r}.",
            code="model-input-dtype",
        )
    dtype = np.dtype(tensor.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        values = _float_values(spec)
        floats = values.astype(dtype if dtype.kind == "f" else np.float32)
    if not np.isfinite(floats).all():
        raise ModelError(
            f"Expected pixels that are finite {floats.dtype} numbers, got infinite ones of "
            f"{spec.scaling.options}.",
            code="model-scaling",
        )
    if dtype.kind == "f":
        return floats
    if not tensor.scale and np.ptp(values) < _MIN_PIXEL_SPAN:
        raise ModelError(
            f"Expected a scale and zero point for the {tensor.dtype} input {tensor.name!r}, or "
            f"pixels as they are, got no scale in the file and pixels in {values.min():g} to "
            f"{values.max():g}; try --scale 1.",
            code="model-input-scale",
        )
    limits = np.iinfo(dtype)
    quantized = np.rint(values / (tensor.scale or 1.0)) + tensor.zero_point
    table = np.clip(quantized, limits.min, limits.max).astype(dtype)
    return None if dtype == np.uint8 and np.array_equal(table, np.arange(256)) else table


def _float_values(spec: ModelSpec) -> NDArray[np.float64]:
    """Return the float value of each of the 256 pixel values: (256,) or (256, channels)."""
    scaling = spec.scaling
    counts = {len(scaling.mean), len(scaling.std)} - {1}
    if counts - {spec.channels}:
        raise ModelError(
            f"Expected one mean and deviation, or one for each of {spec.channels} channels, "
            f"got {scaling.options}.",
            code="model-channels",
        )
    mean, std = np.array(scaling.mean), np.array(scaling.std)
    # The same float64 operations as `Scaling.value`, so that both give the same bits.
    values: NDArray[np.float64] = (np.arange(256)[:, np.newaxis] * scaling.scale - mean) / std
    return values if counts else values[:, 0]
