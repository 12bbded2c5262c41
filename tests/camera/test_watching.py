"""When the answer changes, a camera that is gone and comes back, and the newest of many items."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier
from edge_mnist.camera.following import follow
from edge_mnist.camera.frame import Frame
from edge_mnist.camera.newest import Newest
from edge_mnist.camera.overlay import draw
from edge_mnist.camera.reading import Rate, read
from edge_mnist.camera.smoothing import Smoothing
from edge_mnist.classifier import Detection, Prediction
from edge_mnist.classifier.prediction_json import detection_json
from edge_mnist.errors import CameraError
from tests.conftest import jpeg
from tests.errors import raises


def detection(label: str | None) -> Detection:
    digit = None if label is None else int(label)
    reason = "unsure" if label is None else None
    return Detection(Prediction(digit, 0.9, np.zeros(10, np.float32), label, reason), None)


def test_the_answer_changes_when_three_frames_in_a_row_agree() -> None:
    smoothing = Smoothing(3)
    seen = ["7", "7", "7", "7", None, "7", "1", "1", "7", "1", "1", "1", None, None, None, "1"]
    changes = [number for number, label in enumerate(seen) if smoothing.add(detection(label))]
    assert changes == [2, 11, 14]
    assert smoothing.settled is not None and smoothing.settled.prediction.label is None
    every = Smoothing(1)
    assert [every.add(detection(label)) for label in ("1", "1", None)] == [True, False, True]


class Unsteady:
    """A camera whose cable is pulled: each opening yields some frames, or fails."""

    name, live = "/dev/video0", True

    def __init__(self, *openings: int | str) -> None:
        self.openings = iter(openings)

    def frames(self) -> Iterator[Frame]:
        opening = next(self.openings)
        if isinstance(opening, str):
            raise CameraError(f"Expected a camera, got: {opening}.", code=opening)
        for number in range(opening):
            yield Frame(b"", number / 25)
        raise CameraError("Expected a frame, got: No such device.", code="camera-lost")


def test_a_camera_that_is_gone_is_waited_for_and_named_once() -> None:
    told: list[str | None] = []
    source = Unsteady(2, "camera-missing", "camera-permission", 3, 1)
    frames = follow(source, notice=told.append, retry_s=0.06)
    times_s = [next(frames).time_s for _ in range(6)]
    assert times_s[:2] == [0, 0.04]
    # Two and one attempts later, by the clock.
    assert times_s[2] >= 3 * 0.06 and times_s[5] >= times_s[2] + 0.06
    assert [time_s - times_s[2] for time_s in times_s[2:5]] == pytest.approx([0, 0.04, 0.08])
    assert told == ["Expected a frame, got: No such device.", None] * 2


def test_a_camera_that_is_not_there_at_the_start_is_an_error() -> None:
    told: list[str | None] = []
    with pytest.raises(CameraError) as raised:
        next(follow(Unsteady("camera-missing"), notice=told.append))
    assert raised.value.code == "camera-missing" and not told


def test_a_slow_reader_gets_the_newest_item_and_the_error_at_the_end() -> None:
    go = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        go.wait(10)
        yield from (2, 3, 4)
        raise CameraError("Expected a frame, got none.", code="camera-lost")

    with Newest(items()) as newest:
        assert newest.wait(0, 10) == (1, 1)
        assert newest.wait(1, 0.01) == (1, None)
        go.set()
        newest._thread.join(10)
        assert newest.wait(1, 10) == (4, 4)
        with pytest.raises(CameraError):
            list(newest)
    with Newest(iter([5])) as newest:
        newest._thread.join(10)
        assert list(newest) == [5]


def test_a_broken_frame_is_dropped_but_a_clip_of_broken_frames_is_an_error(
    frames: list[Image.Image],
) -> None:
    good = jpeg(frames[10])
    given = [good[:400], good, good[: len(good) // 2], good, b"nothing", good]
    classifier = Classifier()
    for images in (False, True):
        readings = list(
            read((Frame(f, 0.0) for f in given), classifier, Smoothing(), images=images)
        )
        assert [reading.detection.prediction.label for reading in readings] == ["7"] * 3
        assert [reading.changed for reading in readings] == [False, False, True]
        assert [reading.image is not None for reading in readings] == [images] * 3
    with raises("image-broken"):
        list(read([Frame(good[:400], 0.0)], classifier, Smoothing(), images=False))
    with raises("image-format"):
        list(read((Frame(b"x", 0.0) for _ in range(99)), classifier, Smoothing(), images=True))


def test_frames_a_second_are_counted_over_two_seconds() -> None:
    rate = Rate()
    assert [rate.tick(0.1 * n) for n in range(3)] == pytest.approx([0, 10, 10])
    for n in range(3, 300):
        last = rate.tick(0.1 * n if n < 100 else 10 + 0.02 * (n - 100))
    assert last == pytest.approx(50, rel=0.02)
    assert rate.tick(1000) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("box", [(100, 60, 220, 300), None])
@pytest.mark.parametrize("label", ["7", None])
def test_box_and_digit_are_drawn(box: tuple[int, int, int, int] | None, label: str | None) -> None:
    frame = Image.new("L", (640, 480), 200)
    found = detection(label)._replace(box=box, image=np.zeros((28, 28), np.uint8))
    drawn = draw(frame, found, settled=found, rate=12.3)
    assert (drawn.mode, drawn.size) == ("RGB", (640, 480))
    assert frame.getextrema() == (200, 200)
    changed = np.any(np.asarray(drawn) != 200, axis=2)
    # The strip at the bottom, and the label at the box or in the corner.
    assert changed[440:].mean() > 0.9
    colour = (74, 222, 155) if label else (255, 193, 77)
    coloured = np.all(np.asarray(drawn) == colour, axis=2)
    rows, columns = np.nonzero(coloured[:430])
    if box is None:
        assert rows.max() < 60 and columns.max() < 200
    else:
        left, top, right, bottom = box
        assert left - 16 < columns.min() < left and right < columns.max() < right + 16
        assert bottom < rows.max() < bottom + 16 and rows.min() < top
        # Nothing covers the digit.
        assert not changed[top:bottom, left:right].any()


def test_a_box_at_the_edge_of_the_frame_keeps_its_label_inside() -> None:
    found = detection("4")._replace(box=(600, 0, 640, 90), image=np.zeros((28, 28), np.uint8))
    drawn = np.asarray(draw(Image.new("RGB", (640, 480)), found, settled=None, rate=0))
    label = np.all(drawn[:25] == (74, 222, 155), axis=2)
    assert label[:, 520:].sum() > 0.9 * label.sum() > 500


def test_a_box_is_a_key_of_json_where_there_is_one() -> None:
    without = detection_json(detection("7"))
    assert set(without) == {"digit", "confidence", "probabilities"}
    boxed = detection_json(detection("7")._replace(box=(1, 2, 30, 40)))
    assert boxed == without | {"box": [1, 2, 30, 40]}
