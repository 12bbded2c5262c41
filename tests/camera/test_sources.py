"""Clips of every kind, the search for a USB camera, and what is said where there is none."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist.camera.clip import Clip
from edge_mnist.camera.source import find_source
from edge_mnist.camera.usb import UsbCamera, find_usb_camera
from edge_mnist.vision.decode import open_picture
from tests.conftest import jpeg
from tests.errors import raises

SIZE = (640, 480)


def motion_jpeg(frames: list[Image.Image], folder: Path) -> Path:
    path = folder / "clip.mjpeg"
    path.write_bytes(b"".join(map(jpeg, frames)))
    return path


def pictures(frames: list[Image.Image], folder: Path) -> Path:
    for number, frame in enumerate(frames):
        frame.save(folder / f"{number:03}.jpg", quality=85)
    return folder


def pages(suffix: str) -> Callable[[list[Image.Image], Path], Path]:
    def write(frames: list[Image.Image], folder: Path) -> Path:
        path = folder / f"clip{suffix}"
        # Copies: Pillow would encode a TIFF as it has encoded the same image as JPEG before.
        first, *others = (frame.copy() for frame in frames)
        first.save(path, save_all=True, append_images=others, duration=40)
        return path

    return write


def video(frames: list[Image.Image], folder: Path) -> Path:
    av = pytest.importorskip("av", reason="needs PyAV, of the extra camera")
    path = folder / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.bit_rate = 8_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    "write",
    [motion_jpeg, pictures, pages(".gif"), pages(".webp"), pages(".tiff"), pages(".png"), video],
    ids=["mjpeg", "folder", "gif", "webp", "tiff", "apng", "mp4"],
)
def test_a_clip_of_every_kind(
    write: Callable[[list[Image.Image], Path], Path], frames: list[Image.Image], tmp_path: Path
) -> None:
    some = frames[8:12]
    found = list(find_source(str(write(some, tmp_path)), size=SIZE).frames())
    assert [frame.time_s for frame in found] == pytest.approx([0, 0.04, 0.08, 0.12])
    for frame, original in zip(found, some, strict=True):
        pixels = np.asarray(open_picture(frame.picture).convert("L"), np.int16)
        assert pixels.shape == (480, 640)
        assert np.abs(pixels - np.asarray(original.convert("L"), np.int16)).mean() < 6


def test_a_clip_is_played_at_its_own_pace_again_and_again(
    frames: list[Image.Image], tmp_path: Path
) -> None:
    playing = Clip(motion_jpeg(frames[:2], tmp_path)).play(repeat=True)
    assert [next(playing).time_s for _ in range(5)] == [0, 0.04, 0, 0.04, 0]


def test_what_is_no_clip_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no clip")
    with raises("camera-clip", str(text)):
        list(Clip(text).frames())
    film = tmp_path / "film.mp4"
    film.write_bytes(b"no film")
    with raises("camera-clip", str(film)):
        list(Clip(film).frames())
    huge = tmp_path / "huge.gif"
    for side in (8000, 15000):
        huge.write_bytes(b"GIF89a" + 2 * side.to_bytes(2, "little") + b"\0\0\0")
        with warnings.catch_warnings(), raises("camera-clip", str(huge)):
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            list(Clip(huge).frames())
    with raises("camera-source", "nothing.mp4"):
        find_source("nothing.mp4", size=SIZE)
    (tmp_path / "empty").mkdir()
    with raises("image-none"):
        list(Clip(tmp_path / "empty").frames())


def test_the_first_usb_camera_is_found_among_other_devices(tmp_path: Path) -> None:
    """The layout of sysfs on a Raspberry Pi with a camera that has a second device."""
    devices = {
        10: ("platform/bcm2835-codec", 0),
        4: ("usb1/1-1/1-1.2", 1),
        3: ("usb1/1-1/1-1.2", 0),
        12: ("usb1/1-1/1-1.3", 0),
    }
    assert find_usb_camera(tmp_path) is None
    for number, (place, index) in devices.items():
        parent = tmp_path / "devices" / place
        parent.mkdir(parents=True, exist_ok=True)
        folder = tmp_path / f"video{number}"
        folder.mkdir()
        (folder / "index").write_text(f"{index}\n")
        (folder / "device").symlink_to(parent)
    assert find_usb_camera(tmp_path) == "/dev/video3"


def test_a_camera_that_cannot_be_opened_is_one_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV, of the extra camera")
    with raises("camera-missing", "/dev/video99", "No such file"):
        list(UsbCamera("/dev/video99", size=SIZE).frames())
    with raises("camera-missing", "/dev/null"):
        list(UsbCamera("/dev/null", size=SIZE).frames())
    forbidden = tmp_path / "video0"
    forbidden.touch(mode=0)
    tmp_path.chmod(0o755)
    user = os.geteuid()
    if not user:  # root may read everything.
        os.seteuid(65534)
    try:
        with raises("camera-permission", str(forbidden), "group video"):
            list(UsbCamera(str(forbidden), size=SIZE).frames())
    finally:
        os.seteuid(user)
