"""The values that a Classifier answers with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Prediction(NamedTuple):
    """The digit that a model reads, and how confident it is.

    Attributes:
        digit: the index of the output; None if the picture holds no digit, or if the confidence
            is below the model's rejection threshold.
        confidence: the highest probability, in [0, 1].
        probabilities: (10,) float32 in [0, 1], or one for each of the model's labels.
        label: the name of the output, such as "7"; None where `digit` is.
        reason: why `digit` is None, in a few words; otherwise None.
    """

    digit: int | None
    confidence: float
    probabilities: NDArray[np.float32]
    label: str | None
    reason: str | None = None


class Detection(NamedTuple):
    """A prediction, and the part of the picture that it is of.

    Attributes:
        prediction: the prediction.
        image: the model's input, uint8 of the model's size such as (28, 28); None if no digit was
            found.
        box: (left, top, right, bottom) in pixels of the upright picture; None if not localized.
        has_neighbours: whether the picture seems to hold more digits in a row with this one, which
            `predict_many` reads. `predict_many` itself leaves it False.
    """

    prediction: Prediction
    image: NDArray[np.uint8] | None
    box: tuple[int, int, int, int] | None = None
    has_neighbours: bool = False


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


def to_probabilities(values: NDArray[np.float32], output: str) -> NDArray[np.float32]:
    """Return values (…, classes) as probabilities in [0, 1] that sum to 1.

    Args:
        values: a model's dequantized outputs.
        output: their kind: "logits" go through a softmax, "scores" of 0 or more are divided by
            their sum.
    """
    if output == "logits":
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
    else:
        powers = np.clip(values, 0, None) + np.float32(1e-12)
    shares: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return shares
