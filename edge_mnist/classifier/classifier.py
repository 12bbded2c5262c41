"""`Classifier`: one model, loaded in one runtime, answering with digits."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np

from .. import backends
from ..backends import tensor_layout
from ..backends.quantized_io import QuantizedIO
from ..bundle import PRECISIONS, Artifact, find_artifacts
from ..bundle.model_spec import ModelSpec, Scaling
from ..errors import BackendError, ImageError, ModelError, NoDigitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..vision.decode import Picture

# More than any device has processors; ONNX Runtime hangs over some ten thousands.
_MOST_THREADS = 256


class Prediction(NamedTuple):
    """The digit read, how sure the model is of it, and the probability of every digit.

    `confidence` is `probabilities[digit]`, in [0, 1]; `probabilities` is (10,) float32, or as
    many as the model has labels. `digit` is the index of the output, `label` its name.

    Where the picture holds no digit, or the model is less sure than its bundle asks for, `digit`
    and `label` are None and `reason` says why; `confidence` is then the highest probability.
    """

    digit: int | None
    confidence: float
    probabilities: NDArray[np.float32]
    label: str | None
    reason: str | None = None


class Detection(NamedTuple):
    """What was read, and of what: `image` is what the model saw, None where it saw nothing.

    `box` is (left, top, right, bottom) in pixels of the picture, upright, where that was looked
    for. `image` is uint8 of the model's size, (28, 28).
    """

    prediction: Prediction
    image: NDArray[np.uint8] | None
    box: tuple[int, int, int, int] | None = None


class Classifier:
    """A digit classifier.

    Threads that share one take turns; for more at once, load one a thread. It can be pickled,
    and used in a forked process: what crosses is the path of its file, not the loaded model.

    Args:
        model: a bundle folder, a `.tflite` or an `.onnx` file; "edge" or "nano" for one of the
            bundles that ship with the package; None for "edge".
        backend: "litert", "tflite" or "onnx"; None for the best that is installed.
        precision: "int8", "dynamic", "float16" or "float32"; None for the best in the bundle.
        threads: threads that the runtime may use.
        scale, mean, std: for a file without a manifest, how a pixel in 0…255 becomes a value:
            `(pixel * scale - mean) / std`; mean and std are one number, or one a channel.
            None for what the file says, or else 0…1: see `edge_mnist.foreign_models`.

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

    def __reduce__(self) -> tuple[Any, ...]:
        artifact = self.artifact._replace(file=os.path.abspath(self.artifact.file))
        return _reopen, (artifact, self.backend, self._threads, self.spec, self.scaling_from)

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
        known, name = artifact.spec, artifact.name
        content = artifact.read()
        self.session = backends.load(
            runtime,
            content,
            name=name,
            threads=threads,
            path=artifact.file if known is None else None,
        )
        self._tensor_layout = tensor_layout.infer_layout(
            self.session.input,
            self.session.output,
            format=artifact.format,
            name=name,
            spec=known,
        )
        self._io = QuantizedIO(self.session, self._tensor_layout)
        self._threads = threads
        if known is None:
            self._output_shape = self._infer_spec(artifact.scaling, content)
        else:
            _check_labels(self.session.output, known, name)
            self.scaling_from = "manifest"
            self._use(known)
            batch = max(1, self._tensor_layout.batch)
            self._output_shape = (batch, *self.session.output.shape[1:])
        self._io.bind(self._output_shape)
        _ALIVE.add(self)

    def _infer_spec(self, given: Scaling | None, content: bytes) -> tuple[int, ...]:
        """Find the spec of a file without a manifest, by asking it a few patterns.

        Returns the shape of what it answers for its smallest batch.
        """
        from ..foreign_models import spec_inference

        read = self._tensor_layout
        told, sure = spec_inference.scaling_of(self.session.input)
        self.scaling_from = "given" if given else "file" if sure else "assumed"
        size = (read.height, read.width, read.channels)
        # Of the output nothing is known yet, so that it comes as it is.
        self._use(ModelSpec(*size, given or told))
        patterns = spec_inference.patterns(self.spec)
        asked = [self._ask(pattern[np.newaxis]) for pattern in patterns]
        one_by_one, shape = np.concatenate([values for values, _ in asked]), asked[0][1]
        if not np.isfinite(one_by_one).any():
            raise ModelError(
                f"Expected finite scores, got none for any of {len(patterns)} images in "
                f"{self.artifact.name}."
            )
        if read.batch == -1 and not self._takes_batches(patterns, one_by_one):
            self._io.close_batch()
        kind = spec_inference.kind_of(one_by_one, self.session.output)
        labels = spec_inference.labels_of(content, self.artifact.format)
        if len(labels) != one_by_one.shape[1]:
            labels = tuple(map(str, range(one_by_one.shape[1])))
        self._use(self.spec._replace(labels=labels, output=kind))
        return shape

    def _takes_batches(self, patterns: NDArray[np.uint8], expected: NDArray[np.float32]) -> bool:
        """Whether several images at once are answered as each alone: a name is no promise."""
        try:
            together, _ = self._ask(patterns)
        except ModelError:
            return False
        # Only order of summation may differ; an image mixed up with another differs wholly.
        return together.shape == expected.shape and np.allclose(
            together, expected, rtol=1e-2, atol=1e-2 * float(np.ptp(expected)), equal_nan=True
        )

    def _ask(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, ...]]:
        """Return the values (n, classes) of a model of unknown output, and its raw shape."""
        count = max(len(images), self._tensor_layout.batch)
        output = np.asarray(self._io.run(images))
        several = output.shape[1:] if output.shape[:1] == (count,) else output.shape
        classes = [size for size in several if size != 1]
        if len(classes) != 1 or output.size != count * classes[0]:
            raise ModelError(
                f"Expected an output of two scores or more for every image, got shape "
                f"{output.shape} for {count} in {self.artifact.name}."
            )
        values = self._io.dequantize(output).reshape(count, -1)
        return values[: len(images)], output.shape

    def rescale(self, scaling: Scaling) -> None:
        """Take pixels in this scaling from now on: for a file that tells nothing of its own."""
        self._use(self.spec._replace(scaling=scaling))
        self._io.bind(self._output_shape)

    def _use(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.labels = spec.labels
        self._shape = spec.shape
        self._kind = spec.output
        self._threshold = spec.threshold
        self._io.use(spec)

    def predict(self, image: Picture) -> Prediction:
        """Read the digit in a picture.

        Args:
            image: a path, an encoded picture's bytes, a PIL image or an array. A uint8 array of
                the model's own size, (28, 28) or what `spec.shape` says, is taken as it
                stands: an MNIST image, white ink on black. Anything else goes through
                `preprocess`: made as MNIST was where the model reads grey digits, and otherwise
                resized whole.

        Raises:
            ImageError: the picture cannot be read, or is too large.
        """
        if not _is_uint8(image) or image.shape != self._shape:
            return self.see(image).prediction
        return self._conclude(self._io.one(image))

    def _conclude(self, probabilities: NDArray[np.float32]) -> Prediction:
        """Return what the values (classes,) of one image say."""
        if self._kind != "probabilities":
            probabilities = _probabilities(probabilities, self._kind)
        digit = int(probabilities.argmax())
        confidence = float(probabilities[digit])
        if confidence < self._threshold:
            reason = f"unsure: {confidence:.2f}, below {self._threshold:.2f}"
            return Prediction(None, confidence, probabilities, None, reason)
        return Prediction(digit, confidence, probabilities, self.labels[digit])

    @property
    def stages(self) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Prediction]]:
        """The three calls that `predict` makes for an array of the model's size, one after another.

        Preprocess: such an array to the runtime's input. Invoke: copied in, run, copied out.
        Postprocess: the raw output to a `Prediction`. They are there to be timed; unlike
        `predict` they check nothing, and threads do not take turns.
        """
        preprocess, invoke, read = self._io.steps
        conclude = self._conclude
        return preprocess, invoke, lambda output: conclude(read(output))

    def see(self, image: Picture) -> Detection:
        """Read the digit in a picture as `predict` does, and keep what the model saw of it."""
        try:
            pixels = self._pixels(image)
        except NoDigitError as error:
            nothing = np.zeros(len(self.labels), np.float32)
            return Detection(Prediction(None, 0.0, nothing, None, error.reason), None)
        return Detection(self.predict(pixels), pixels)

    def predict_many(self, picture: Picture) -> list[Detection]:
        """Read several digits in one picture: left to right, and line after line from the top.

        Returns an empty list where there is no digit.

        Raises:
            ImageError: the picture cannot be read, or is too large.
            ModelError: the model does not read grey digits.
        """
        if not self.spec.digits:
            raise ModelError(
                f"Expected a model of grey digits 0 to 9 to read several in one picture, got "
                f"{self.artifact.name} with {self.spec.channels} channels and the labels "
                f"{', '.join(self.labels[:3])}, …; use predict on one picture each."
            )
        from ..vision.multi_digit import read

        return read(self, picture)

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
        values = self._io.many(images)
        return values if self._kind == "probabilities" else _probabilities(values, self._kind)

    def _pixels(self, image: Picture) -> NDArray[np.uint8]:
        """Return what `predict` does not take as it stands in the model's own size."""
        if _is_uint8(image) and image.shape == self._shape:
            return image
        if _is_uint8(image) and image.shape == (*self._shape, 1):
            return image[..., 0]
        # Pillow is needed only for pictures.
        from ..vision.preprocess import preprocess

        return preprocess(image, self.spec)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return pixels (n, …) uint8 of the model's size as its input takes them."""
        return self._io.encode(images)


def _reopen(
    artifact: Artifact, backend: str, threads: int, spec: ModelSpec, scaling_from: str
) -> Classifier:
    """Load a classifier again in another process, with what it had found out or been told."""
    classifier = Classifier.from_artifact(artifact, backends.get(backend), threads=threads)
    if classifier.spec != spec:
        classifier.rescale(spec.scaling)
    classifier.scaling_from = scaling_from
    return classifier


_ALIVE: weakref.WeakSet[Classifier] = weakref.WeakSet()
# Their threads stayed in the parent process: to end them would be to wait for ever.
_ABANDONED: list[backends.Session] = []


def _after_fork() -> None:
    """Make the classifiers of the parent process fit for this one: no thread came along."""
    for classifier in list(_ALIVE):
        if classifier._threads == 1:
            classifier._io.renew_lock()
        else:
            _ABANDONED.append(classifier.session)
            function, arguments = classifier.__reduce__()
            classifier.__dict__.update(function(*arguments).__dict__)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _is_uint8(image: Picture) -> TypeGuard[NDArray[np.uint8]]:
    return isinstance(image, np.ndarray) and image.dtype == np.uint8


def _probabilities(values: NDArray[np.float32], output: str) -> NDArray[np.float32]:
    """Return (…, classes) in [0, 1], every row summing to 1, for logits or scores."""
    if output == "logits":
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
    else:
        powers = np.clip(values, 0, None) + np.float32(1e-12)
    shares: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
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


def _check_labels(tensor: backends.Tensor, spec: ModelSpec, name: str) -> None:
    """Refuse an output that is not as many values as the manifest has labels."""
    sizes = [size for size in tensor.shape[1:] if size != 1]
    if sizes != [len(spec.labels)]:
        raise ModelError(
            f"Expected an output of {len(spec.labels)} {spec.output}, got shape "
            f"{tensor.shape} in {name}."
        )
