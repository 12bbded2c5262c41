"""PyAV, imported late: it takes a quarter of a second, and only cameras and videos need it."""

from __future__ import annotations

from typing import Any

from ..errors import CameraError
from ..system import install


def import_pyav(name: str) -> Any:
    """Return the module `av`.

    Args:
        name: of the camera or video that needs it, for the message.

    Raises:
        CameraError: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise CameraError(
            f"Expected the package av (PyAV) to read {name} with, got none installed; install "
            f"with: {install.extra('camera')}, or on Raspberry Pi OS: sudo apt install python3-av",
            code="camera-library",
        ) from error
    # FFmpeg's own lines on stderr would stand beside the one line of an error.
    av.logging.set_level(av.logging.PANIC)
    return av
