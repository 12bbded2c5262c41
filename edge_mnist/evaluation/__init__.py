"""Labelled images and model files in; accuracy and confusion out."""

from __future__ import annotations

from .accuracy import Evaluation, confusion_matrix, evaluate, pairs, read, read_pictures

__all__ = ["Evaluation", "confusion_matrix", "evaluate", "pairs", "read", "read_pictures"]
