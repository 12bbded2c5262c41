"""What was read as JSON: the same keys from the command line and from the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import Detection, Prediction


def of_one(prediction: Prediction) -> dict[str, Any]:
    """Return one prediction; `reason` is there where it is no digit."""
    row: dict[str, Any] = {
        "digit": prediction.digit,
        "confidence": round(prediction.confidence, 6),
        "probabilities": [round(p, 6) for p in prediction.probabilities.tolist()],
    }
    if prediction.digit is None:
        row["reason"] = prediction.reason
    elif prediction.label != str(prediction.digit):
        row["label"] = prediction.label
    return row


def of_many(detections: Sequence[Detection]) -> dict[str, Any]:
    """Return several digits of one picture; boxes are (left, top, right, bottom) in its pixels."""
    return {
        "digits": digits(detections),
        "boxes": [detection.box for detection in detections],
        "predictions": [of_one(detection.prediction) for detection in detections],
    }


def digits(detections: Sequence[Detection]) -> str:
    """Return what was read as text; ? stands for what is no digit to the model."""
    labels = (detection.prediction.label for detection in detections)
    return "".join("?" if label is None else label for label in labels)
