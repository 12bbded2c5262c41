"""A USB camera in, its frames out, through Video4Linux and PyAV."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..errors import CameraError
from .frame import Frame
from .pyav import import_pyav

DEVICES = Path("/sys/class/video4linux")
# Motion JPEG first: at 640×480 most cameras send more of these a second than of raw frames, and a
# JPEG is decoded at a part of its size where that is enough.
_FORMATS: tuple[dict[str, str], ...] = ({"input_format": "mjpeg"}, {})


class UsbCamera:
    """A camera of Video4Linux.

    Args:
        path: such as "/dev/video0"; None for the first USB camera, looked for at each opening, as
            a camera that was plugged in again may have another number.
        size: width and height that are asked of the camera, which may choose others.
    """

    live = True

    def __init__(self, path: str | None, *, size: tuple[int, int]) -> None:
        self._path = path
        self._size = size

    @property
    def name(self) -> str:
        """The device, or "the USB camera"."""
        return self._path or "the USB camera"

    def frames(self) -> Iterator[Frame]:
        """Yield frames until the camera is gone.

        Raises:
            CameraError: no camera, no permission, in use, or gone.
        """
        av = import_pyav(self.name)
        path = self._path or find_usb_camera()
        if path is None:
            raise no_camera()
        try:
            opened = _open(av, path, self._size)
        except (av.error.FFmpegError, OSError) as error:
            raise _cannot_open(path, error) from error
        try:
            with opened as container:
                yield from _read(container)
        except (av.error.FFmpegError, OSError) as error:
            raise CameraError(
                f"Expected a frame of {path}, got: {_reason(error)}; plug the camera in again.",
                code="camera-lost",
            ) from error


def find_usb_camera(devices: Path = DEVICES) -> str | None:
    """Return the first USB camera, such as "/dev/video0"; None if there is none.

    Other devices of Video4Linux are passed over, such as the codecs of a Raspberry Pi, and a
    camera's second device, which holds metadata.
    """
    numbered = sorted(devices.glob("video*"), key=lambda one: int(re.sub(r"\D", "", one.name)))
    for device in numbered:
        index = device / "index"
        if "/usb" in str((device / "device").resolve()) and (
            not index.exists() or index.read_text().strip() == "0"
        ):
            return f"/dev/{device.name}"
    return None


def no_camera() -> CameraError:
    """Return the error for a machine without a camera."""
    return CameraError(
        "Expected a USB camera or a Raspberry Pi camera module, got none; plug one in, or name a "
        "clip or a device: edge-mnist camera /dev/video0",
        code="camera-none",
    )


def _open(av: Any, path: str, size: tuple[int, int]) -> AbstractContextManager[Any]:
    """Open a camera in the first format that it has."""
    wanted = {"video_size": f"{size[0]}x{size[1]}"}
    *first, last = _FORMATS
    for options in first:
        try:
            return _container(av, path, {**wanted, **options})
        except (av.error.FFmpegError, OSError) as error:
            if error.errno != errno.EINVAL:
                raise
    return _container(av, path, {**wanted, **last})


def _container(av: Any, path: str, options: dict[str, str]) -> AbstractContextManager[Any]:
    container: AbstractContextManager[Any] = av.open(path, format="v4l2", options=options)
    return container


def _read(container: Any) -> Iterator[Frame]:
    """Yield the JPEGs of a camera undecoded, and other frames decoded."""
    stream = container.streams.video[0]
    encoded = stream.codec_context.name == "mjpeg"
    first_s: float | None = None
    for packet in container.demux(stream):
        if not packet.size:
            continue
        time_s = float(packet.pts * packet.time_base)
        first_s = time_s if first_s is None else first_s
        if encoded:
            yield Frame(bytes(packet), time_s - first_s)
        else:
            for frame in packet.decode():
                yield Frame(frame.to_image(), time_s - first_s)
    raise OSError(errno.ENODEV, "no more frames")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _cannot_open(path: str, error: OSError) -> CameraError:
    reason = _reason(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        return CameraError(
            f"Expected permission to read {path}, got: {reason}; join the group video with: sudo "
            f"usermod -aG video $USER, and log in again.",
            code="camera-permission",
        )
    if error.errno == errno.EBUSY:
        return CameraError(
            f"Expected {path} to be free, got: {reason}; close the program that uses it.",
            code="camera-busy",
        )
    return CameraError(
        f"Expected a camera at {path}, got: {reason}; plug it in, or name another.",
        code="camera-missing",
    )
