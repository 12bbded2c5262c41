"""A prediction in, a JSON object out: the command line and the API share its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .prediction import Detection, Grid, Prediction


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """Return one prediction; with `reason` if it is no digit, `label` if that is not the digit."""
    document: dict[str, Any] = {
        "digit": prediction.digit,
        "confidence": round(prediction.confidence, 6),
        "probabilities": [round(p, 6) for p in prediction.probabilities.tolist()],
    }
    if prediction.digit is None:
        document["reason"] = prediction.reason
    elif prediction.label != str(prediction.digit):
        document["label"] = prediction.label
    return document


def detection_json(detection: Detection) -> dict[str, Any]:
    """Return the prediction of one picture, with its `box` in pixels if it was localized."""
    document = prediction_json(detection.prediction)
    return document if detection.box is None else {**document, "box": list(detection.box)}


def detections_json(detections: Sequence[Detection]) -> dict[str, Any]:
    """Return several digits of one picture; boxes are (left, top, right, bottom) in its pixels."""
    return {
        "digits": digits(detections),
        "boxes": [detection.box for detection in detections],
        "predictions": [prediction_json(detection.prediction) for detection in detections],
    }


def grid_json(grid: Grid) -> dict[str, Any]:
    """Return a form: its texts in rows, and its cells with row and column, counted from 0."""
    cells = [
        {"row": row, "column": column, "box": cell.box, **detections_json(cell.detections)}
        for row, line in enumerate(grid.rows)
        for column, cell in enumerate(line)
        if cell.box
    ]
    return {"rows": grid.texts, "cells": cells}


def digits(detections: Sequence[Detection]) -> str:
    """Return the labels as text, with ? for a rejected digit."""
    labels = (detection.prediction.label for detection in detections)
    return "".join("?" if label is None else label for label in labels)
