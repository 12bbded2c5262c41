"""A picture or pixels in, a Prediction out."""

from __future__ import annotations

from .classifier import Classifier, Detection, Prediction, choose

__all__ = ["Classifier", "Detection", "Prediction", "choose"]
