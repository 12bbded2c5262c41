"""A Raspberry Pi's camera module in, its frames out, through Picamera2."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.util import find_spec

from PIL import Image

from ..errors import CameraError
from .frame import Frame


def is_installed() -> bool:
    """Return whether Picamera2 is there, as it is on Raspberry Pi OS."""
    return find_spec("picamera2") is not None


class PiCamera:
    """The first camera module.

    Args:
        size: width and height of the frames.
    """

    name, live = "picamera2", True

    def __init__(self, *, size: tuple[int, int]) -> None:
        self._size = size

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the camera fails.

        Raises:
            CameraError: Picamera2 is not installed, or finds no camera, or the camera is in use.
        """
        try:
            from picamera2 import Picamera2
        except ModuleNotFoundError as error:
            raise CameraError(
                "Expected Picamera2 to read a camera module with, got none installed; install it "
                "with: sudo apt install python3-picamera2, into an environment made with: python3 "
                "-m venv --system-site-packages",
                code="camera-picamera2",
            ) from error
        # Picamera2 raises IndexError without a camera, and RuntimeError for most other causes.
        try:
            with Picamera2() as camera:
                # In libcamera's names BGR888 is red, green, blue in memory.
                main = {"size": self._size, "format": "BGR888"}
                camera.configure(camera.create_video_configuration(main=main))
                camera.start()
                start_s = time.monotonic()
                while True:
                    pixels = camera.capture_array()
                    yield Frame(Image.fromarray(pixels), time.monotonic() - start_s)
        except (RuntimeError, IndexError, OSError) as error:
            raise CameraError(
                f"Expected a frame of the camera module, got: {str(error) or 'no camera'}; check "
                f"its cable, and close the program that uses it: rpicam-hello --list-cameras",
                code="camera-module",
            ) from error
