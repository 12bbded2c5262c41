"""A picture or pixels in, a Prediction out."""

from __future__ import annotations

from .classifier import Classifier, Prediction, Sighting, choose

__all__ = ["Classifier", "Prediction", "Sighting", "choose"]
