"""`Classifier`: a picture or pixels in, a prediction out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.selection import choose
from ..bundle import find_artifacts
from ..bundle.model_spec import Scaling
from ..errors import ModelError, NoDigitError
from .image_batch import check_images
from .loading import LoadedModel
from .prediction import (
    BytePrediction,
    ByteScores,
    Cell,
    Detection,
    Grid,
    Prediction,
    check_finite,
    to_probabilities,
    too_unsure,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..bundle import Trust
    from ..bundle.model_spec import ModelSpec
    from ..vision.decode import Picture
    from ..vision.forms import FormCell

# What `predict` needs at each call; looking them up in numpy would take 0.1 µs longer.
_UINT8, _ARRAY = np.dtype(np.uint8), np.ndarray
_new = object.__new__


class Classifier(LoadedModel):
    """A digit classifier.

    Threads that share one take turns; load one a thread to run several at once. It can be pickled,
    and used in a forked process.

    Args:
        model: a bundle folder, a `.tflite` or an `.onnx` file; "edge" or "nano" for a bundle that
            ships with the package; "installed" for the current one of the store; None for "edge".
        backend: "litert", "tflite", "onnx" or "numpy"; None for the best one installed.
        precision: "int8", "dynamic", "float16" or "float32"; None for the best in the bundle.
        threads: threads that the runtime may use.
        scale: for a foreign file, a pixel in [0, 255] becomes `(pixel * scale - mean) / std`.
            None for what the file states, otherwise 1/255: see `edge_mnist.foreign_models`.
        mean: one number, or one a channel.
        std: one number, or one a channel.
        trust: the keys of which one must have signed the bundle: the path of a `.pub` file or of a
            folder of them, the base64 text of a key, or a sequence of these. They replace those in
            the folders of trusted keys, which None stands for. False asks for no signature.

    Raises:
        BundleError, ModelError: the model is missing, broken, not signed by a trusted key or not
            an image classifier.
        BackendError: no installed runtime can run it.
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
        trust: Trust = None,
    ) -> None:
        artifacts = find_artifacts(model, scaling=Scaling.given(scale, mean, std), trust=trust)
        artifact, runtime = choose(artifacts, backend=backend, precision=precision)
        self._load(artifact, runtime, threads=threads)

    def predict(self, image: Picture) -> Prediction:
        """Read the digit in a picture.

        Args:
            image: a path, an encoded picture's bytes, a PIL image or an array. A uint8 array of
                the model's size, such as (28, 28), is taken unchanged as an MNIST image: white
                digit on black. Everything else goes through `edge_mnist.vision.preprocess`.

        Raises:
            ImageError: the picture cannot be read, or is too large.
            ModelError: the model answers NaN or infinity.
        """
        # Each line here counts: benchmarks/array_path.py compares them with a loop written by hand.
        if type(image) is not _ARRAY or image.dtype != _UINT8 or image.shape != self._shape:
            return self.detect(image).prediction
        # mypy cannot follow a comparison of dtypes.
        if self._scores is None:
            return self._conclude(self._io.one(image))  # type: ignore[arg-type]
        prediction = _new(BytePrediction)
        prediction._output = self._io.one_as_bytes(image)  # type: ignore[arg-type]
        prediction._scores = self._scores
        return prediction

    def detect(self, image: Picture) -> Detection:
        """Read the digit in a picture as `predict` does, and return the model's input with it."""
        shapes = self._shape, (*self._shape, 1)
        if isinstance(image, np.ndarray) and image.dtype == _UINT8 and image.shape in shapes:
            # Not a subclass of ndarray, which `predict` would send here again.
            pixels = np.asarray(image, np.uint8).reshape(self._shape)
            return Detection(self.predict(pixels), pixels)
        # Imported late: Pillow is needed only for pictures.
        from ..vision.preprocess import extract_digit

        predict = self._remember_predictions()
        try:
            found = extract_digit(image, self.spec, lambda pixels: predict(pixels).confidence)
        except NoDigitError as error:
            zeros = np.zeros(len(self.labels), np.float32)
            return Detection(Prediction(None, 0.0, zeros, None, error.reason), None)
        prediction = predict(found.image)
        if found.has_neighbours and (count := self._count_digits(image)) > 1:
            reason = f"several digits: {count}; --many or predict_many reads each"
            prediction = prediction._replace(digit=None, label=None, reason=reason)
        return Detection(prediction, found.image, found.box)

    see = detect  # its name until 0.1

    def predict_many(self, picture: Picture) -> list[Detection]:
        """Read several digits in one picture, from left to right and from line to line.

        Returns:
            One detection for each digit; an empty list if there is none.

        Raises:
            ImageError: the picture cannot be read, or is too large.
            ModelError: the model does not read grey digits.
        """
        self._check_digits()
        from ..vision.multi_digit import read_digits

        predict = self._remember_predictions()
        return [
            Detection(predict(image), image, box)
            for image, box in read_digits(picture, spec=self.spec, read=self.predict_probabilities)
        ]

    def read_grid(self, picture: Picture) -> Grid:
        """Read the digits in the cells of a form, which printed lines enclose.

        The form may be turned by up to 5 degrees. A cell may hold several digits, or none.

        Raises:
            ImageError: the picture cannot be read, is too large, or shows no grid of cells.
            ModelError: the model does not read grey digits.
        """
        self._check_digits()
        from ..vision.forms import read_form

        form = read_form(picture, spec=self.spec, read=self.predict_probabilities)
        return Grid([[self._read_cell(cell) for cell in row] for row in form])

    def predict_batch(self, images: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the digits (n,) of MNIST images (n, 28, 28) uint8, or of the model's own size."""
        digits: NDArray[np.intp] = self.predict_probabilities(images).argmax(axis=1)
        return digits

    def predict_probabilities(
        self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.float32]:
        """Return the probabilities of several images.

        Args:
            images: MNIST images (n, 28, 28) uint8, white on black, or (n, …) of the model's size.

        Returns:
            (n, 10) float32 in [0, 1], or one column for each of the model's labels.

        Raises:
            ImageError: another shape or dtype.
            ModelError: the model answers NaN or infinity.
        """
        images = check_images(images, self._shape)
        if not len(images):
            return np.empty((0, len(self.labels)), np.float32)
        values, output = self._io.many(images), self.spec.output
        check_finite(values, self.artifact.name)
        return values if output == "probabilities" else to_probabilities(values, output)

    @property
    def stages(self) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Prediction]]:
        """The three calls of `predict` on an array of the model's size, to be timed one by one.

        Preprocess: the array to the runtime's input. Invoke: copy in, run, copy out. Postprocess:
        the raw output to a `Prediction`. They check nothing and take no lock.
        """
        return *self._io.steps, self._conclude_raw

    def _read_cell(self, cell: FormCell | None) -> Cell:
        if cell is None:
            return Cell("", None, [])
        detections = [Detection(self.predict(image), image, box) for image, box in cell.digits]
        text = "".join(one.prediction.label or "?" for one in detections)
        return Cell(text, cell.box, detections)

    def _check_digits(self) -> None:
        if not self.spec.digits:
            raise ModelError(
                f"Expected a model of grey digits 0 to 9 to read several in one picture, got "
                f"{self.artifact.name} with {self.spec.channels} channels and the labels "
                f"{', '.join(self.labels[:3])}, …; use predict on one picture each.",
                code="model-not-digits",
            )

    def _conclude(self, values: NDArray[np.float32]) -> Prediction:
        """Return the prediction for the dequantized values (classes,) of one image."""
        spec = self.spec
        check_finite(values, self.artifact.name)
        if spec.output != "probabilities":
            values = to_probabilities(values, spec.output)
        digit = int(values.argmax())
        confidence: float = values.item(digit)
        if confidence < spec.threshold:
            reason = too_unsure(confidence, spec.threshold)
            return Prediction(None, confidence, values, None, reason)
        return Prediction(digit, confidence, values, spec.labels[digit])

    def _conclude_raw(self, output: NDArray[Any]) -> Prediction:
        """Return the prediction for the raw output of one image."""
        if self._scores is None:
            return self._conclude(self._io.decode_one(output))
        prediction = _new(BytePrediction)
        prediction._output, prediction._scores = output.tobytes(), self._scores
        return prediction

    def _use(self, spec: ModelSpec) -> None:
        super()._use(spec)
        values = self._io.byte_values if spec.output == "probabilities" else None
        self._scores = None if values is None else ByteScores.of(values, spec)

    def _count_digits(self, picture: Picture) -> int:
        """Return how many digits a picture holds; 0 if most of what is found is none."""
        found = self.predict_many(picture)
        read = sum(one.prediction.digit is not None for one in found)
        return read if 2 * read > len(found) else 0

    def _remember_predictions(self) -> Callable[[NDArray[np.uint8]], Prediction]:
        """Return a `predict` that reads no image twice."""
        predictions: dict[bytes, Prediction] = {}

        def predict(image: NDArray[np.uint8]) -> Prediction:
            key = image.tobytes()
            if key not in predictions:
                predictions[key] = self.predict(image)
            return predictions[key]

        return predict
