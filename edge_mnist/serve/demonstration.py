"""The loaded models in; for each picture two of them side by side, and the layers of one, out."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import PRECISIONS
from ..bundle.provenance import provenance
from ..classifier import Detection, Prediction
from ..classifier.prediction_json import prediction_json
from ..errors import EdgeMnistError
from .activations import ActivationReader, load_reader
from .models import LoadedModels
from .predict_api import model_input_json
from .stage_times import Image, StageTimes, TimedClassifier

_BOTH = "edge-mnist train && edge-mnist export --int8 && edge-mnist serve --latest"
_NO_LAYERS = "Layers are shown of a .tflite file in LiteRT only: pip install 'edge-mnist[litert]'"


class Demonstration:
    """Reads a picture with two models of a bundle, the least quantized first.

    They differ in precision if the bundle has several, otherwise in runtime. With one file in one
    runtime, there is one model.
    """

    def __init__(self, models: LoadedModels) -> None:
        self._by_name = choose_models(models.by_name)
        self._labels = next(iter(self._by_name.values())).labels
        self._note = _models_note(list(self._by_name.values()))
        self._columns = [_column(name, one) for name, one in self._by_name.items()]
        self._reader_lock = threading.Lock()
        # For each compared model in turn, then for all others: any of them shows the layers.
        self._readable = {**self._by_name, **models.by_name}
        self._reader: ActivationReader | None = None
        self._reader_name: str | None = None

    @property
    def names(self) -> list[str]:
        """The names of the models, in order."""
        return list(self._by_name)

    def read(self, image: Image) -> tuple[dict[str, Any], StageTimes]:
        """Return the answer of `POST /v1/demo` without its total time, and the stages' times.

        Raises:
            ImageError: the picture cannot be read, or is too large.
        """
        times = StageTimes()
        first, *others = self._by_name.values()
        detection = first.detect_timed(image, times, multi_digit=False)
        assert isinstance(detection, Detection)
        pixels, predictions = detection.image, [detection.prediction]
        times_us: list[float | None] = [None] * len(self._by_name)
        if pixels is None:
            predictions *= len(self._by_name)
        else:
            predictions += [one.predict(pixels) for one in others]
            # The second run of each: the first finds its memory cold after the preprocessing.
            times_us = [_time_us(one, pixels) for one in self._by_name.values()]
        start = time.perf_counter_ns()
        layers = self._read_layers(pixels)
        document = {
            "labels": list(self._labels),
            "models": [
                {**column, "model_us": time_us, "prediction": prediction_json(prediction)}
                for column, time_us, prediction in zip(
                    self._columns, times_us, predictions, strict=True
                )
            ],
            "models_note": self._note,
            **_agreement(predictions, pixels is not None),
            "input": model_input_json(pixels),
            "layers": layers,
            "layers_of": self._reader_name,
            "layers_us": round((time.perf_counter_ns() - start) / 1000, 1),
            "layers_note": None if self._reader else _NO_LAYERS,
            "decode_us": times.to_json()["decode_us"],
            "preprocess_us": times.to_json()["preprocess_us"],
        }
        return document, times

    def _read_layers(self, pixels: NDArray[np.uint8] | None) -> list[dict[str, Any]] | None:
        """Return the layers; None without a digit, or if no model shows them."""
        with self._reader_lock:
            self._load_reader()
        return None if pixels is None or self._reader is None else self._reader.read(pixels)

    def _load_reader(self) -> None:
        """Load the reader at the first picture: nobody else needs its memory."""
        while self._reader is None and self._readable:
            self._reader_name = next(iter(self._readable))
            try:
                self._reader = load_reader(self._readable.pop(self._reader_name))
            except EdgeMnistError:  # The file has changed since it was loaded.
                continue
        if self._reader is None:
            self._reader_name = None


def choose_models(by_name: Mapping[str, TimedClassifier]) -> dict[str, TimedClassifier]:
    """Return the default model, after another one to compare it with, if there is one.

    Preferred is the least quantized file, in the runtime of the default; if all files have one
    precision, the default's file in another runtime, or another file.
    """
    (name, default), *rest = by_name.items()
    # numpy answers the same bytes as the default's file, more slowly.
    others = [item for item in rest if item[1].backend != "numpy"]

    def preference(item: tuple[str, TimedClassifier]) -> tuple[int, bool]:
        other = item[1]
        return _rank(other) - _rank(default), other.backend == default.backend

    others.sort(key=preference, reverse=True)
    return {**dict(others[:1]), name: default}


def _rank(classifier: TimedClassifier) -> int:
    """Return how little a model is quantized: its place in `PRECISIONS`."""
    precision = classifier.artifact.precision
    return PRECISIONS.index(precision) if precision in PRECISIONS else -1


def _models_note(models: list[TimedClassifier]) -> str | None:
    """Return why the models are not of two precisions, and how to get these."""
    if len({one.artifact.precision for one in models}) > 1:
        return None
    if len(models) > 1:
        reason = "Two runtimes: the files have one precision."
    else:
        reason = "Only one file is loaded."
    return f"{reason} For float32 and int8: {_BOTH}"


def _column(name: str, classifier: TimedClassifier) -> dict[str, Any]:
    artifact, origin = classifier.artifact, provenance(classifier.artifact)
    return {
        "name": name,
        "file": artifact.name,
        "backend": classifier.backend,
        "precision": artifact.precision,
        "size_bytes": artifact.size_bytes,
        "accuracy": origin.accuracy,
        "accuracy_data": origin.accuracy_data,
    }


def _time_us(classifier: TimedClassifier, pixels: NDArray[np.uint8]) -> float:
    start = time.perf_counter_ns()
    classifier.predict(pixels)
    return round((time.perf_counter_ns() - start) / 1000, 1)


def _agreement(predictions: list[Prediction], found: bool) -> dict[str, Any]:
    """Return whether all read the same, and the largest difference of a probability."""
    if len(predictions) < 2 or not found:
        return {"agree": None, "largest_difference": None}
    one, other = predictions
    difference = float(np.abs(one.probabilities - other.probabilities).max())
    return {"agree": one.digit == other.digit, "largest_difference": round(difference, 6)}
