"""The values that a Classifier answers with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..bundle.model_spec import ModelSpec


class Prediction(Sequence[Any]):
    """The digit that a model reads, and how confident it is.

    It unpacks, compares, indexes and pickles as the tuple of its attributes, in this order. They
    cannot be set; `_replace(digit=…)` returns a changed copy.

    Attributes:
        digit: the index of the output; None if the picture holds no digit, or if the confidence
            is below the model's rejection threshold.
        confidence: the highest probability, in [0, 1].
        probabilities: (10,) float32 in [0, 1], or one for each of the model's labels.
        label: the name of the output, such as "7"; None where `digit` is.
        reason: why `digit` is None, in a few words; otherwise None.
    """

    __slots__ = ("_confidence", "_digit", "_label", "_probabilities", "_reason")
    _fields = __match_args__ = ("digit", "confidence", "probabilities", "label", "reason")

    def __init__(
        self,
        digit: int | None,
        confidence: float,
        probabilities: NDArray[np.float32],
        label: str | None,
        reason: str | None = None,
    ) -> None:
        self._digit, self._confidence, self._probabilities = digit, confidence, probabilities
        self._label, self._reason = label, reason

    @property
    def digit(self) -> int | None:
        return self._digit

    @property
    def confidence(self) -> float:
        return self._confidence

    @property
    def probabilities(self) -> NDArray[np.float32]:
        return self._probabilities

    @property
    def label(self) -> str | None:
        return self._label

    @property
    def reason(self) -> str | None:
        return self._reason

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, name) for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Prediction, tuple)) or len(other) != len(self):
            return NotImplemented
        digit, confidence, probabilities, label, reason = other
        same = (digit, confidence) == (self.digit, self.confidence)
        same = same and (label, reason) == (self.label, self.reason)
        return same and np.array_equal(probabilities, self.probabilities)

    __hash__ = None  # type: ignore[assignment]  # as a tuple that holds an array

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self._asdict().items())
        return f"Prediction({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Prediction, tuple(self)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, **changes: Any) -> Prediction:
        return Prediction(**{**self._asdict(), **changes})


class ByteScores(NamedTuple):
    """The meaning of a raw output of probabilities in 8 bits.

    Attributes:
        values: (256,) float32 in rising order, the probability that each byte stands for.
        confidences: the same as floats.
        spec: the model's labels and rejection threshold.
        least: the least byte that is not rejected; 256 if every one is.
    """

    values: NDArray[np.float32]
    confidences: list[float]
    spec: ModelSpec
    least: int

    @classmethod
    def of(cls, values: NDArray[np.float32], spec: ModelSpec) -> ByteScores:
        """Return the scores with the least byte for the spec's threshold."""
        confidences = values.tolist()
        rejected = sum(confidence < spec.threshold for confidence in confidences)
        return cls(values, confidences, spec, rejected)


class BytePrediction(Prediction):
    """A prediction that makes its attributes from a raw output when they are asked for.

    It has no `__init__` of its own, a call of which takes 0.1 µs: `Classifier.predict` sets the
    slots. The bytes are a copy, so that a later prediction does not change them.
    """

    __slots__ = ("_output", "_scores")
    _output: bytes
    _scores: ByteScores

    @property
    def digit(self) -> int | None:
        output = self._output
        # As `argmax`, the first of the greatest. A sure model answers 255, and looking for that
        # takes 0.1 µs instead of 0.5.
        digit = output.find(255)
        if digit < 0:
            digit = output.index(max(output))
        return digit if output[digit] >= self._scores.least else None

    @property
    def confidence(self) -> float:
        output = self._output
        return self._scores.confidences[255 if 255 in output else max(output)]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        if not hasattr(self, "_probabilities"):
            self._probabilities = self._scores.values.take(np.frombuffer(self._output, np.uint8))
        return self._probabilities

    @property
    def label(self) -> str | None:
        digit = self.digit
        return None if digit is None else self._scores.spec.labels[digit]

    @property
    def reason(self) -> str | None:
        if self.digit is not None:
            return None
        return too_unsure(self.confidence, self._scores.spec.threshold)


def too_unsure(confidence: float, threshold: float) -> str:
    """Return the reason of a rejection by the model's threshold."""
    return f"unsure: {confidence:.2f}, below {threshold:.2f}"


class Detection(NamedTuple):
    """A prediction, and the part of the picture that it is of.

    Attributes:
        prediction: the prediction.
        image: the model's input, uint8 of the model's size such as (28, 28); None if no digit was
            found.
        box: (left, top, right, bottom) in pixels of the upright picture; None if not localized.
    """

    prediction: Prediction
    image: NDArray[np.uint8] | None
    box: tuple[int, int, int, int] | None = None


class Cell(NamedTuple):
    """A cell of a form.

    Attributes:
        text: its digits, with ? for each that is rejected; "" if it is empty, or if its row has no
            cell in this column.
        box: (left, top, right, bottom) in pixels of the upright picture, inside the printed lines;
            None if its row has no cell in this column.
        detections: its digits, from left to right.
    """

    text: str
    box: tuple[int, int, int, int] | None
    detections: list[Detection]


class Grid(NamedTuple):
    """The cells of a form.

    Attributes:
        rows: from top to bottom; each has the same number of cells.
    """

    rows: list[list[Cell]]

    @property
    def texts(self) -> list[list[str]]:
        """The text of each cell."""
        return [[cell.text for cell in row] for row in self.rows]


def check_finite(values: NDArray[np.float32], name: str) -> None:
    """Refuse outputs of the model `name` with NaN or infinity among them.

    Raises:
        ModelError: there is one.
    """
    # Both return the first NaN if there is one. `numpy.isfinite` takes twice as long.
    extremes = values.item(values.argmin()), values.item(values.argmax())
    if not all(map(math.isfinite, extremes)):
        raise ModelError(
            f"Expected finite outputs, got NaN or infinity from {name}; the file is broken, or its "
            f"weights or pixels are too large.",
            code="model-not-finite",
        )


def to_probabilities(values: NDArray[np.float32], output: str) -> NDArray[np.float32]:
    """Return values (…, classes) as probabilities in [0, 1] that sum to 1.

    Args:
        values: a model's dequantized outputs, all finite.
        output: their kind: "logits" go through a softmax, "scores" of 0 or more are divided by
            their sum.
    """
    with np.errstate(over="ignore"):  # A difference of -inf is a probability of 0.
        if output == "logits":
            powers = np.exp(values - values.max(axis=-1, keepdims=True))
        else:
            powers = np.clip(values, 0, None) + np.float32(1e-12)
        shares: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return shares
