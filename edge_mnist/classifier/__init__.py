"""A picture or pixels in, a Prediction out."""

from __future__ import annotations

from ..backends.selection import choose
from .classifier import Classifier
from .prediction import Detection, Prediction

__all__ = ["Classifier", "Detection", "Prediction", "choose"]
