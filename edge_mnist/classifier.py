"""`Classifier`: one model, loaded in one runtime, answering with digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from . import backends, foreign, layout
from .bundle import PRECISIONS, Artifact, find_artifacts
from .contract import Contract, Scaling
from .errors import BackendError, ImageError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .preprocess import Picture

# How many images an open-batch model is given at once: large enough to amortise the call,
# small enough to stay in a small device's cache.
_BATCH = 64
# More than any device has processors; ONNX Runtime hangs over some ten thousands.
_MOST_THREADS = 256
# An integer input without a scale holds pixels; fewer steps than these are not pixels.
_LEAST_SPAN = 64


class Prediction(NamedTuple):
    """The digit read, how sure the model is of it, and the probability of every digit.

    `confidence` is `probabilities[digit]`, in [0, 1]; `probabilities` is (10,) float32, or as
    many as the model has labels. `digit` is the index of the output, `label` its name.
    """

    digit: int
    confidence: float
    probabilities: NDArray[np.float32]
    label: str


class Classifier:
    """A digit classifier.

    Args:
        model: a bundle folder, a `.tflite` or an `.onnx` file; None for the shipped bundle.
        backend: "litert", "tflite" or "onnx"; None for the best that is installed.
        precision: "int8", "dynamic", "float16" or "float32"; None for the best in the bundle.
        threads: threads that the runtime may use.
        scale, mean, std: for a file without a manifest, how a pixel in 0…255 becomes a value:
            `(pixel * scale - mean) / std`; mean and std are one number, or one a channel.
            None for what the file says, or else 0…1: see `edge_mnist.foreign`.

    Raises:
        BundleError, ModelError: the model is missing, broken or not an image classifier.
        BackendError: no runtime that is installed can run it.
    """

    def __init__(
        self,
        model: str | PathLike[str] | None = None,
        *,
        backend: str | None = None,
        precision: str | None = None,
        threads: int = 1,
        scale: float | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
    ) -> None:
        artifacts = find_artifacts(model, scaling=Scaling.given(scale, mean, std))
        artifact, runtime = choose(artifacts, backend=backend, precision=precision)
        self._open(artifact, runtime, threads)

    @classmethod
    def from_artifact(
        cls, artifact: Artifact, runtime: backends.Runtime, *, threads: int = 1
    ) -> Classifier:
        """Load exactly this file in exactly this runtime."""
        classifier = cls.__new__(cls)
        classifier._open(artifact, runtime, threads)
        return classifier

    def _open(self, artifact: Artifact, runtime: backends.Runtime, threads: int) -> None:
        if not isinstance(threads, int) or not 1 <= threads <= _MOST_THREADS:
            raise BackendError(f"Expected 1 to {_MOST_THREADS} threads, got {threads!r}.")
        self.artifact = artifact
        self.backend = runtime.backend
        known, name = artifact.contract, artifact.path.name
        content = artifact.read()
        self.session = backends.load(
            runtime,
            content,
            name=name,
            threads=threads,
            path=artifact.path if known is None else None,
        )
        self._layout = layout.find(
            self.session.input,
            self.session.output,
            format=artifact.format,
            name=name,
            contract=known,
        )
        self._batch, self._tail = self._layout.batch, self._layout.tail
        self._transposed = self._layout.channels_first and self._layout.channels > 1
        output = self.session.output
        # Integers of unknown scale are counted from the least of their dtype.
        unknown = output.dtype == "int8" and not output.scale
        self._zero_point = np.float32(-128 if unknown else output.zero_point)
        self._scale = np.float32(1 if unknown else output.scale) or None
        if known is None:
            self._read_contract(artifact.scaling, content)
        else:
            _check_labels(self.session.output, known, name)
            self.scaling_from = "manifest"
            self._use(known)

    def _read_contract(self, given: Scaling | None, content: bytes) -> None:
        """Find the contract of a file without a manifest, by asking it a few patterns."""
        read = self._layout
        told, sure = foreign.scaling_of(self.session.input)
        self.scaling_from = "given" if given else "file" if sure else "assumed"
        size = (read.height, read.width, read.channels)
        # Of the output nothing is known yet, so that it comes as it is.
        self._use(Contract(*size, given or told))
        patterns = foreign.patterns(self.contract)
        one_by_one = np.concatenate([self._ask(pattern[np.newaxis]) for pattern in patterns])
        if not np.isfinite(one_by_one).any():
            raise ModelError(
                f"Expected finite scores, got none for any of {len(patterns)} images in "
                f"{self.artifact.path.name}."
            )
        if self._batch == -1 and not self._takes_batches(patterns, one_by_one):
            self._batch = 1
        kind = foreign.kind_of(one_by_one, self.session.output)
        labels = foreign.labels_of(content, self.artifact.format)
        if len(labels) != one_by_one.shape[1]:
            labels = tuple(map(str, range(one_by_one.shape[1])))
        self._use(replace(self.contract, labels=labels, output=kind))

    def _takes_batches(self, patterns: NDArray[np.uint8], expected: NDArray[np.float32]) -> bool:
        """Whether several images at once are answered as each alone: a name is no promise."""
        try:
            together = self._ask(patterns)
        except ModelError:
            return False
        # Only order of summation may differ; an image mixed up with another differs wholly.
        return together.shape == expected.shape and np.allclose(
            together, expected, rtol=1e-2, atol=1e-2 * float(np.ptp(expected)), equal_nan=True
        )

    def _ask(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the values (n, classes) that a model of unknown output answers with."""
        count = max(len(images), self._batch)
        output = np.asarray(self.session.run(self.encode(images)))
        several = output.shape[1:] if output.shape[:1] == (count,) else output.shape
        classes = [size for size in several if size != 1]
        if len(classes) != 1 or output.size != count * classes[0]:
            raise ModelError(
                f"Expected an output of two scores or more for every image, got shape "
                f"{output.shape} for {count} in {self.artifact.path.name}."
            )
        return self._dequantize(output, count)[: len(images)]

    def rescale(self, scaling: Scaling) -> None:
        """Take pixels in this scaling from now on: for a file that tells nothing of its own."""
        self._use(replace(self.contract, scaling=scaling))

    def _use(self, contract: Contract) -> None:
        self.contract = contract
        self.labels = contract.labels
        self._shape = contract.shape
        self._kind = contract.output
        self._pixel_values = _pixel_values(self.session.input, contract)
        self._channel: NDArray[np.intp] | None = None
        if self._pixel_values is not None and self._pixel_values.ndim == 2:
            channels = np.broadcast_to(np.arange(contract.channels), contract.shape)
            arranged = channels.transpose(2, 0, 1) if self._transposed else channels
            self._channel = arranged.reshape(-1, *self._tail)

    def predict(self, image: Picture) -> Prediction:
        """Read the digit in a picture.

        Args:
            image: a path, an encoded picture's bytes, a PIL image or an array. A uint8 array of
                the model's own size, (28, 28) or what `contract.shape` says, is taken as it
                stands: an MNIST image, white ink on black. Anything else goes through
                `preprocess`: made as MNIST was where the model reads grey digits, and otherwise
                resized whole.

        Raises:
            ImageError: the picture cannot be read, or holds no digit.
        """
        probabilities = self._run(self._pixels(image)[np.newaxis])[0]
        digit = int(probabilities.argmax())
        return Prediction(digit, float(probabilities[digit]), probabilities, self.labels[digit])

    def predict_batch(self, images: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the digits (n,) of MNIST images (n, 28, 28) uint8, white ink on black.

        A model of another size takes that: (n, h, w), or (n, h, w, 3).
        """
        digits: NDArray[np.intp] = self.predict_probabilities(images).argmax(axis=1)
        return digits

    def predict_probabilities(
        self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.float32]:
        """Return probabilities (n, 10) of MNIST images (n, 28, 28) uint8, white on black.

        A model of another size or with other labels takes and answers those.

        Raises:
            ImageError: another shape or dtype.
        """
        try:
            images = np.asarray(images)
        except ValueError as error:
            raise ImageError(
                f"Expected images of one size, (n, {', '.join(map(str, self._shape))}), got "
                f"several; use edge_mnist.preprocess.preprocess on each picture first."
            ) from error
        if images.shape[1:] == (*self._shape, 1):
            images = images[..., 0]
        if images.ndim < 3 or images.shape[1:] != self._shape or images.dtype != np.uint8:
            raise ImageError(
                f"Expected images of shape (n, {', '.join(map(str, self._shape))}) "
                f"and dtype uint8, got {images.shape} {images.dtype}; "
                f"use edge_mnist.preprocess.preprocess on each picture first."
            )
        if not len(images):
            return np.empty((0, len(self.labels)), np.float32)
        size = _BATCH if self._batch == -1 else self._batch
        return np.concatenate(
            [self._run(images[start : start + size]) for start in range(0, len(images), size)]
        )

    def _pixels(self, image: Picture) -> NDArray[np.uint8]:
        if isinstance(image, np.ndarray) and image.dtype == np.uint8:
            if image.shape == self._shape:
                return cast("NDArray[np.uint8]", image)
            if image.shape == (*self._shape, 1):
                return cast("NDArray[np.uint8]", image[..., 0])
        # Pillow is needed only for pictures.
        from .preprocess import preprocess

        return preprocess(image, self.contract)

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities (n, 10) for n images, n as the model's batch allows, or fewer."""
        count = len(images)
        values = self._dequantize(self.session.run(self.encode(images)), max(count, self._batch))
        if count < self._batch:
            values = values[:count]
        return values if self._kind == "probabilities" else _probabilities(values, self._kind)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return pixels (n, 28, 28) uint8, or of the model's size, as its input takes them.

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
        table = self._pixel_values
        if table is None:
            return shaped
        encoded: NDArray[np.generic] = (
            table[shaped] if self._channel is None else table[shaped, self._channel]
        )
        return encoded

    def _dequantize(self, output: NDArray[np.generic], count: int) -> NDArray[np.float32]:
        """Return (count, classes) float32."""
        values = output.reshape(count, -1).astype(np.float32)
        return values if self._scale is None else (values - self._zero_point) * self._scale


def _probabilities(values: NDArray[np.float32], output: str) -> NDArray[np.float32]:
    """Return (n, classes) in [0, 1], every row summing to 1, for logits or scores."""
    if output == "logits":
        powers = np.exp(values - values.max(axis=1, keepdims=True))
    else:
        powers = np.clip(values, 0, None) + np.float32(1e-12)
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def choose(
    artifacts: Sequence[Artifact], *, backend: str | None = None, precision: str | None = None
) -> tuple[Artifact, backends.Runtime]:
    """Return the best artifact and runtime that this machine has and the caller allows.

    Raises:
        BackendError: nothing installed runs any of them; the message holds the install line.
        ModelError: the bundle lacks that precision, or a file for that backend.
    """
    runtimes = [backends.get(backend)] if backend else backends.installed()
    wanted = [a for a in artifacts if precision in (None, a.precision)]
    if not wanted:
        has = ", ".join(sorted({a.precision for a in artifacts}))
        raise ModelError(f"Expected a {precision} file in the bundle, got only {has}.")
    for artifact in sorted(wanted, key=_preference):
        for runtime in runtimes:
            if runtime.format == artifact.format:
                return artifact, runtime
    formats = sorted({a.format for a in wanted})
    if backend:
        raise ModelError(
            f"Expected a .{runtimes[0].format} file for backend {backend!r}, "
            f"got only .{', .'.join(formats)}; choose another backend or export that format."
        )
    fit = [r for r in backends.RUNTIMES.values() if r.format in formats]
    install = " or: ".join(r.install for r in fit if not r.no_wheel)
    raise BackendError(
        f"Expected a runtime for .{', .'.join(formats)} files, got none installed; "
        f"{f'install one with: {install}' if install else fit[0].no_wheel}"
    )


def _preference(artifact: Artifact) -> int:
    known = artifact.precision in PRECISIONS
    return PRECISIONS.index(artifact.precision) if known else len(PRECISIONS)


def _check_labels(tensor: backends.Tensor, contract: Contract, name: str) -> None:
    """Refuse an output that is not as many values as the manifest has labels."""
    sizes = [size for size in tensor.shape[1:] if size != 1]
    if sizes != [len(contract.labels)]:
        raise ModelError(
            f"Expected an output of {len(contract.labels)} {contract.output}, got shape "
            f"{tensor.shape} in {name}."
        )


def _pixel_values(tensor: backends.Tensor, contract: Contract) -> NDArray[np.generic] | None:
    """Return the input value of each of the 256 pixel values; None where they are the same.

    (256,), or (256, channels) where these differ. Quantization is
    `q = round(value / scale) + zero_point`, cut to the dtype's range. A table serves every
    dtype, so that integer models see no float.
    """
    values = _values(contract)
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


def _values(contract: Contract) -> NDArray[np.float64]:
    """Return the float value of each of the 256 pixel values: (256,) or (256, channels)."""
    scaling = contract.scaling
    counts = {len(scaling.mean), len(scaling.std)} - {1}
    if counts - {contract.channels}:
        raise ModelError(
            f"Expected one mean and deviation, or one for each of {contract.channels} channels, "
            f"got {scaling.options}."
        )
    channels = range(contract.channels if counts else 1)
    rows = [[scaling.value(pixel, channel) for channel in channels] for pixel in range(256)]
    values = np.array(rows)
    return values if counts else values[:, 0]
