"""A clip in; frames a second with one thread, and the time of each stage, out."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..classifier import Classifier
from ..errors import CameraError
from ..system.text_table import table
from ..vision.decode import open_picture
from .frame import Source
from .overlay import draw, encode

if TYPE_CHECKING:
    from PIL import Image

Result = TypeVar("Result")
STAGES = ("answer", "decode", "read", "draw", "encode")
_EXPLAINED = {
    "answer": "a frame's bytes to its answer, as with --json",
    "decode": "a frame's bytes to pixels in full size",
    "read": "pixels to the answer",
    "draw": "box, digit and rate on the frame",
    "encode": "the drawn frame as JPEG, for the page",
}


class Timing(NamedTuple):
    """The times of a clip in milliseconds (frames,), by stage."""

    times_ms: dict[str, NDArray[np.float64]]
    frames: int

    @property
    def rates(self) -> dict[str, float]:
        """Frames a second on average: answers alone, in a window, and on the page."""
        mean = {stage: float(np.mean(values)) for stage, values in self.times_ms.items()}
        window = mean["decode"] + mean["read"] + mean["draw"]
        return {
            "answers": 1000 / mean["answer"],
            "window": 1000 / window,
            "page": 1000 / (window + mean["encode"]),
        }

    def to_json(self) -> dict[str, Any]:
        """Return frames, frames a second, and the percentiles of each stage."""
        stages = {
            stage: {
                f"p{share}": round(float(np.percentile(values, share)), 3) for share in (50, 90)
            }
            for stage, values in self.times_ms.items()
        }
        rates = {name: round(value, 2) for name, value in self.rates.items()}
        return {"frames": self.frames, "frames_per_s": rates, "stages_ms": stages}

    def text(self) -> str:
        """Return the same as a table and a line."""
        document = self.to_json()
        rows = [
            (stage, f"{values['p50']:.2f}", f"{values['p90']:.2f}", _EXPLAINED[stage])
            for stage, values in document["stages_ms"].items()
        ]
        rates = document["frames_per_s"]
        return (
            table(("stage", "p50 ms", "p90 ms", "what"), rows) + f"\nframes per second of "
            f"{self.frames}: {rates['answers']:.1f} as lines, {rates['window']:.1f} in a window, "
            f"{rates['page']:.1f} on the page"
        )


def measure(clip: Source, classifier: Classifier) -> Timing:
    """Time every frame of a clip after its first, which loads modules; nothing is dropped.

    Raises:
        CameraError, ImageError: the clip cannot be read, or holds fewer than two frames.
    """
    spans_s = [_spans_s(frame.picture, classifier) for frame in clip.frames()][1:]
    if not spans_s:
        raise CameraError(
            f"Expected two frames or more to time, got fewer in {clip.name}; record a longer clip.",
            code="camera-short",
        )
    times_ms = 1000 * np.array(spans_s).T
    return Timing(dict(zip(STAGES, times_ms, strict=True)), len(spans_s))


def _spans_s(picture: bytes | Image.Image, classifier: Classifier) -> list[float]:
    """Return the seconds of each stage of a frame."""
    marks_s = [time.perf_counter()]

    def mark(result: Result) -> Result:
        marks_s.append(time.perf_counter())
        return result

    mark(classifier.detect(picture))
    image = mark(open_picture(picture))
    detection = mark(classifier.detect(image))
    mark(encode(mark(draw(image, detection, settled=detection, rate=0.0))))
    return [after - before for before, after in itertools.pairwise(marks_s)]
