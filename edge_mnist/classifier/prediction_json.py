"""What was read as JSON: the same keys from the command line and from the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import Prediction, Sighting


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


def of_many(sightings: Sequence[Sighting]) -> dict[str, Any]:
    """Return several digits of one picture; boxes are (left, top, right, bottom) in its pixels."""
    return {
        "digits": digits(sightings),
        "boxes": [sighting.box for sighting in sightings],
        "predictions": [of_one(sighting.prediction) for sighting in sightings],
    }


def digits(sightings: Sequence[Sighting]) -> str:
    """Return what was read as text; ? stands for what is no digit to the model."""
    labels = (sighting.prediction.label for sighting in sightings)
    return "".join("?" if label is None else label for label in labels)
