"""A picture in; its detections, and the time of each stage, out: decode, preprocess, model."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..classifier import Classifier, Detection, Prediction
from ..vision.decode import Picture, open_page, open_picture

# An encoded picture (PNG, JPEG, …), or an array of shape (h, w) or the model's own.
Image = bytes | NDArray[np.uint8]


@dataclass
class StageTimes:
    """The time of each stage in nanoseconds, added up over the images of a request.

    Attributes:
        decode_ns: from a picture's bytes to pixels, reduced to the size of the first search.
        preprocess_ns: from these pixels to the model's input: locate and normalize the digit. If
            the full search is needed, a large JPEG is decoded again.
        model_ns: from the model's input to a prediction; with several digits in a picture, all of
            them, and the pieces that were tried to split digits that touch.
    """

    STAGES: ClassVar = ("decode", "preprocess", "model")

    decode_ns: int = 0
    preprocess_ns: int = 0
    model_ns: int = 0

    def to_json(self) -> dict[str, float]:
        """Return `decode_us`, `preprocess_us` and `model_us`, in microseconds."""
        return {
            f"{stage}_us": round(getattr(self, f"{stage}_ns") / 1000, 1) for stage in self.STAGES
        }


class _ModelTime(threading.local):
    """The time of the predictions of this thread, in nanoseconds."""

    ns = 0


class TimedClassifier(Classifier):
    """A classifier that measures the stages of a detection."""

    _model_time = _ModelTime()

    def predict(self, image: Picture) -> Prediction:
        """Predict as `Classifier` does, and add up the time.

        The other methods of `Classifier` call it with the model's input only.
        """
        start = time.perf_counter_ns()
        prediction = super().predict(image)
        self._model_time.ns += time.perf_counter_ns() - start
        return prediction

    def predict_probabilities(
        self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
    ) -> NDArray[np.float32]:
        """Predict as `Classifier` does, and add up the time: of pieces of touching digits."""
        start = time.perf_counter_ns()
        probabilities = super().predict_probabilities(images)
        self._model_time.ns += time.perf_counter_ns() - start
        return probabilities

    def detect_timed(
        self, image: Image, times: StageTimes, *, multi_digit: bool
    ) -> Detection | list[Detection]:
        """Return the digit of a picture, or all digits, and add the stages to `times`.

        Raises:
            ImageError: the picture cannot be read, or is too large.
            ModelError: several digits, with a model that does not read digits.
        """
        start = time.perf_counter_ns()
        if not multi_digit and not isinstance(image, bytes) and image.shape == self._shape:
            # The model's input already. Requests of many images take this path, so it is short.
            detection = Detection(super().predict(image), image)
            times.model_ns += time.perf_counter_ns() - start
            return detection
        picture = self.decode(image)
        decoded = time.perf_counter_ns()
        self._model_time.ns = 0
        result = self.predict_many(picture) if multi_digit else self.detect(picture)
        model_ns = self._model_time.ns
        times.decode_ns += decoded - start
        times.preprocess_ns += time.perf_counter_ns() - decoded - model_ns
        times.model_ns += model_ns
        return result

    def decode(self, image: Image) -> Picture:
        """Return an encoded picture as pixels that `detect` takes; an array is returned as it is.

        Raises:
            ImageError: the picture cannot be read, or is too large.
        """
        if not isinstance(image, bytes):
            return image
        return open_page(image) if self.spec.digits else open_picture(image)
