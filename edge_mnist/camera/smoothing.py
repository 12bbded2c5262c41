"""The answers of single frames in; an answer that does not flicker out."""

from __future__ import annotations

from ..classifier import Detection

# Frames in a row: a hand in the picture and the blur of a moving page are usually shorter.
STABLE_FRAMES = 3


class Smoothing:
    """The settled answer: it changes when `frames` in a row agree on another.

    "No digit" is an answer like a digit. Attributes:
        settled: the detection that settled the answer; None before the first.
    """

    def __init__(self, frames: int = STABLE_FRAMES) -> None:
        self._frames = frames
        self._label: str | None = None
        self._count = 0
        self.settled: Detection | None = None

    def add(self, detection: Detection) -> bool:
        """Add the answer of the next frame; return whether the settled answer has changed."""
        label = detection.prediction.label
        self._count = self._count + 1 if self._count and label == self._label else 1
        self._label = label
        if self._count < self._frames:
            return False
        if self.settled is not None and self.settled.prediction.label == label:
            return False
        self.settled = detection
        return True
