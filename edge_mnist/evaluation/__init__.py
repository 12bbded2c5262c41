"""Labelled images and model files in; accuracy and confusion out."""

from __future__ import annotations

from .accuracy import (
    Evaluation,
    check_classes,
    classify,
    classify_pictures,
    confusion_matrix,
    evaluate,
)

__all__ = [
    "Evaluation",
    "check_classes",
    "classify",
    "classify_pictures",
    "confusion_matrix",
    "evaluate",
]
