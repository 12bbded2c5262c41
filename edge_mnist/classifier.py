"""`Classifier`: one model, loaded in one runtime, answering with digits."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from . import backends
from .bundle import PRECISIONS, Artifact, Contract, find_artifacts
from .errors import BackendError, ImageError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    Picture = str | PathLike[str] | bytes | Image | NDArray[np.generic]

# How many images an open-batch model is given at once: large enough to amortise the call,
# small enough to stay in a small device's cache.
_BATCH = 64


class Prediction(NamedTuple):
    """The digit read, how sure the model is of it, and the probability of every digit.

    `confidence` is `probabilities[digit]`, in [0, 1]; `probabilities` is (10,) float32.
    """

    digit: int
    confidence: float
    probabilities: NDArray[np.float32]


class Classifier:
    """A digit classifier.

    Args:
        model: a bundle folder, a `.tflite` or an `.onnx` file; None for the shipped bundle.
        backend: "litert", "tflite" or "onnx"; None for the best that is installed.
        precision: "int8", "dynamic", "float16" or "float32"; None for the best in the bundle.
        threads: threads that the runtime may use.

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
    ) -> None:
        artifact, runtime = choose(find_artifacts(model), backend=backend, precision=precision)
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
        if threads < 1:
            raise BackendError(f"Expected 1 thread or more, got {threads}.")
        self.artifact = artifact
        self.backend = runtime.backend
        self.labels = artifact.contract.labels
        self.session = backends.load(
            runtime, artifact.read(), name=artifact.path.name, threads=threads
        )
        _check(self.session, artifact)
        self._pixel_values = _pixel_values(self.session.input, artifact.contract)
        self._input_shape = self.session.input.shape[1:]
        self._open_batch = self.session.input.shape[0] == -1

    def predict(self, image: Picture) -> Prediction:
        """Read the digit in a picture.

        Args:
            image: a path, an encoded picture's bytes, a PIL image or an array. A (28, 28) uint8
                array is an MNIST image, white ink on black, and is taken as it stands.

        Raises:
            ImageError: the picture cannot be read, or holds no digit.
        """
        probabilities = self._run(_pixels(image)[np.newaxis])[0]
        digit = int(probabilities.argmax())
        return Prediction(digit, float(probabilities[digit]), probabilities)

    def predict_batch(self, images: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the digits (n,) of MNIST images (n, 28, 28) uint8, white ink on black."""
        digits: NDArray[np.intp] = self.predict_probabilities(images).argmax(axis=1)
        return digits

    def predict_probabilities(
        self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.float32]:
        """Return probabilities (n, 10) of MNIST images (n, 28, 28) uint8, white on black.

        Raises:
            ImageError: another shape or dtype.
        """
        images = np.asarray(images)
        if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
            raise ImageError(
                f"Expected images of shape (n, 28, 28) and dtype uint8, "
                f"got {images.shape} {images.dtype}; "
                f"use edge_mnist.preprocess.preprocess on each picture first."
            )
        if not len(images):
            return np.empty((0, len(self.labels)), np.float32)
        size = _BATCH if self._open_batch else 1
        return np.concatenate(
            [self._run(images[start : start + size]) for start in range(0, len(images), size)]
        )

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities (n, 10) for (n, 28, 28) uint8, n as the model's batch allows."""
        return self._dequantize(self.session.run(self.encode(images)))

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return (n, 28, 28) uint8 pixels as the model's input takes them."""
        shaped = images.reshape(len(images), *self._input_shape)
        return shaped if self._pixel_values is None else self._pixel_values[shaped]

    def _dequantize(self, output: NDArray[np.generic]) -> NDArray[np.float32]:
        tensor = self.session.output
        values = output.reshape(len(output), -1).astype(np.float32)
        if not tensor.scale:
            return values
        return (values - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


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
    install = " or: ".join(r.install for r in backends.RUNTIMES.values() if r.format in formats)
    raise BackendError(
        f"Expected a runtime for .{', .'.join(formats)} files, got none installed; "
        f"install one with: {install}"
    )


def _preference(artifact: Artifact) -> int:
    known = artifact.precision in PRECISIONS
    return PRECISIONS.index(artifact.precision) if known else len(PRECISIONS)


def _pixels(image: Picture) -> NDArray[np.uint8]:
    if isinstance(image, np.ndarray) and image.shape == (28, 28) and image.dtype == np.uint8:
        return cast("NDArray[np.uint8]", image)
    # Pillow is needed only for pictures.
    from .preprocess import preprocess

    return preprocess(image)


def _check(session: backends.Session, artifact: Artifact) -> None:
    """Refuse a model that does not take one 28×28 grey image and answer with its labels."""
    contract = artifact.contract
    sizes = session.input.shape[1:]
    one_image = -1 not in sizes and int(np.prod(sizes)) == 28 * 28
    if session.input.shape[0] not in (1, -1) or not one_image:
        raise ModelError(
            f"Expected a model whose input is one 28×28 grey image, got shape "
            f"{session.input.shape} in {artifact.path.name}."
        )
    if session.output.shape[1:] != (len(contract.labels),):
        raise ModelError(
            f"Expected an output of {len(contract.labels)} probabilities, got shape "
            f"{session.output.shape} in {artifact.path.name}."
        )


def _pixel_values(tensor: backends.Tensor, contract: Contract) -> NDArray[np.generic] | None:
    """Return the input value of each of the 256 pixel values; None where they are the same.

    Quantization is `q = round(value / scale) + zero_point`, cut to the dtype's range. A table
    serves every dtype, so that integer models see no float.
    """
    values = contract.low + (contract.high - contract.low) * np.arange(256) / 255
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    if not tensor.scale:
        raise ModelError(
            f"Expected a scale and zero point for the {tensor.dtype} input {tensor.name!r}, "
            f"got none in the file; export it with edge-mnist."
        )
    limits = np.iinfo(dtype)
    quantized = np.rint(values / tensor.scale) + tensor.zero_point
    table = np.clip(quantized, limits.min, limits.max).astype(dtype)
    return None if np.array_equal(table, np.arange(256)) else table
