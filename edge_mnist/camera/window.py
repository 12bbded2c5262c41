"""Readings in; a window that shows them, with tkinter of the standard library."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import CameraError

if TYPE_CHECKING:
    from PIL import Image

    from .newest import Newest
    from .reading import Reading

# Seconds that the window waits for a frame before it looks at keys and buttons.
_FRAME_S = 0.03


def has_display() -> bool:
    """Return whether there is a display of X11; Wayland's desktops have one for such programs."""
    return bool(os.environ.get("DISPLAY"))


def show(readings: Newest[Reading], title: str, notice: Callable[[], str | None]) -> None:
    """Show readings until they end, or until the window is closed, or Escape or q is pressed.

    Args:
        readings: with images.
        title: of the window.
        notice: returns the reason for which there are no frames, which then is the title.

    Raises:
        CameraError: there is no display, or Python has no tkinter.
        EdgeMnistError: the error that ended the readings.
    """
    try:
        import tkinter

        root = tkinter.Tk(className="edge-mnist")
    except ImportError as error:
        raise _no_window(f"no tkinter ({error}; sudo apt install python3-tk)") from error
    except tkinter.TclError as error:
        raise _no_window(str(error)) from error
    closed = False

    def close(_: object = None) -> None:
        nonlocal closed
        closed = True

    root.protocol("WM_DELETE_WINDOW", close)
    for key in ("<Escape>", "q"):
        root.bind(key, close)
    photo = tkinter.PhotoImage()
    tkinter.Label(root, image=photo, background="#0d1319", borderwidth=0).pack(expand=True)
    root.configure(background="#0d1319")
    number = 0
    # Not mainloop: it would turn Ctrl-C into a traceback of a callback.
    while not closed and not readings.ended:
        root.title(notice() or title)
        number, reading = readings.wait(number, _FRAME_S)
        if reading is not None:
            photo.configure(data=_ppm(reading.drawn), format="PPM")
        root.update()
    root.destroy()
    readings.raise_error()


def _ppm(image: Image.Image) -> bytes:
    """Return an RGB image as tkinter reads it without Pillow's own module for that."""
    return b"P6 %d %d 255\n" % image.size + image.tobytes()


def _no_window(reason: str) -> CameraError:
    return CameraError(
        f"Expected a display for a window, got: {reason}; show the camera on a page with --serve, "
        f"or only lines with --no-window.",
        code="camera-window",
    )
