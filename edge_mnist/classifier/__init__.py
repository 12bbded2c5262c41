"""A picture or pixels in, a Prediction out."""

from __future__ import annotations

from ..backends.selection import choose
from .classifier import Classifier
from .prediction import Cell, Detection, Grid, Prediction

__all__ = ["Cell", "Classifier", "Detection", "Grid", "Prediction", "choose"]
