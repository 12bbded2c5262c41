"""Frames in, readings out: the digit of each frame, and whether the answer has changed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from ..classifier import Classifier, Detection
from ..classifier.prediction_json import detection_json
from ..errors import ImageError
from ..system.text_table import percent
from ..vision.decode import open_picture
from .frame import Frame
from .overlay import draw, encode
from .smoothing import Smoothing

# Frames in a row that cannot be decoded: a camera sends one now and then, mostly its first.
_MAX_BROKEN = 50
# Seconds over which frames a second are counted.
_RATE_S = 2.0


@dataclass(frozen=True)
class Reading:
    """A frame and what was read in it.

    Attributes:
        number: of the frame, from 0; frames that were dropped do not count.
        time_s: seconds since the first frame.
        detection: what this frame was read as.
        settled: the detection that settled the answer; None before the first answer.
        changed: whether this frame changed the answer.
        rate: frames a second that were read lately.
        image: the frame; None if it was not asked for.
    """

    number: int
    time_s: float
    detection: Detection
    settled: Detection | None
    changed: bool
    rate: float
    image: Image.Image | None = None

    @cached_property
    def drawn(self) -> Image.Image:
        """The frame with box, digit and rate drawn on it."""
        assert self.image is not None
        return draw(self.image, self.detection, settled=self.settled, rate=self.rate)

    @cached_property
    def jpeg(self) -> bytes:
        """The drawn frame as a JPEG."""
        return encode(self.drawn)

    def to_json(self) -> dict[str, Any]:
        """Return the place in time and the keys of `predict --json`, with `box`."""
        document = {"frame": self.number, "time_s": round(self.time_s, 3)}
        return document | detection_json(self.detection)

    def text(self) -> str:
        """Return the place in time and the answer as a line."""
        prediction = self.detection.prediction
        if prediction.digit is None:
            answer = f"no digit ({prediction.reason})"
        else:
            answer = f"{prediction.label} ({percent(prediction.confidence)})"
        return f"{self.time_s:8.2f} s: {answer}"


class Rate:
    """Events a second, over the last two seconds."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque()

    def tick(self, now_s: float) -> float:
        """Count an event; return the rate, 0 at the first."""
        times_s = self._times_s
        times_s.append(now_s)
        while now_s - times_s[0] > _RATE_S and len(times_s) > 2:
            times_s.popleft()
        return (len(times_s) - 1) / (now_s - times_s[0]) if now_s > times_s[0] else 0.0


def read(
    frames: Iterable[Frame], classifier: Classifier, smoothing: Smoothing, *, images: bool
) -> Iterator[Reading]:
    """Yield a reading for each frame; a frame that cannot be decoded is dropped.

    Args:
        frames: of a camera or a clip.
        classifier: reads the digit.
        smoothing: settles the answer.
        images: keep the decoded frame. Without, a JPEG is decoded only as far as reading needs.

    Raises:
        ImageError: no frame of a clip, or no frame for long, could be decoded.
    """
    rate, number, broken = Rate(), 0, 0
    error: ImageError | None = None
    for frame in frames:
        try:
            picture = open_picture(frame.picture) if images else frame.picture
            detection = classifier.detect(picture)
        except ImageError as failure:
            error, broken = failure, broken + 1
            if broken > _MAX_BROKEN:
                raise
            continue
        changed = smoothing.add(detection)
        yield Reading(
            number,
            frame.time_s,
            detection,
            smoothing.settled,
            changed,
            rate.tick(time.monotonic()),
            picture if isinstance(picture, Image.Image) and images else None,
        )
        number, broken = number + 1, 0
    if error is not None and not number:
        raise error
