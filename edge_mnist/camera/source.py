"""The argument SOURCE of the command line in, a camera or a clip out."""

from __future__ import annotations

from pathlib import Path

from ..errors import CameraError
from . import pi_camera
from .clip import Clip
from .frame import Source
from .usb import UsbCamera, find_usb_camera, no_camera


def find_source(argument: str | None, *, size: tuple[int, int]) -> Source:
    """Return the source that an argument names.

    Args:
        argument: "/dev/video0" or its number, "picamera2", or the path of a clip; None for the
            first USB camera, otherwise the camera module.
        size: width and height that are asked of a camera.

    Raises:
        CameraError: there is no such source.
    """
    if argument is None:
        return _default(size)
    if argument == "picamera2":
        return pi_camera.PiCamera(size=size)
    if argument.isdecimal():
        argument = f"/dev/video{int(argument)}"
    if argument.startswith("/dev/"):
        return UsbCamera(argument, size=size)
    if not Path(argument).exists():
        raise CameraError(
            f"Expected a clip, a folder of pictures, a device such as /dev/video0, or picamera2, "
            f"got {argument}, which does not exist; check the name.",
            code="camera-source",
        )
    return Clip(Path(argument))


def _default(size: tuple[int, int]) -> Source:
    if find_usb_camera():
        return UsbCamera(None, size=size)
    if pi_camera.is_installed():
        return pi_camera.PiCamera(size=size)
    raise no_camera()
