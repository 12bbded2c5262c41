"""A source in; its frames out, also after a camera was gone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ..errors import CameraError
from .frame import Frame, Source

# Seconds between two attempts to open a camera that is gone.
_RETRY_S = 1.0


def follow(
    source: Source, *, notice: Callable[[str | None], None], retry_s: float = _RETRY_S
) -> Iterator[Frame]:
    """Yield the frames of a source; wait for a camera that is gone until it is back.

    The times of a camera that is back go on where the clock is, as if it had never been gone.

    Args:
        source: a camera or a clip.
        notice: called once when a camera is gone, with the reason, and with None when it is back.
        retry_s: seconds between two attempts to open the camera again.

    Raises:
        CameraError: the source cannot be opened at the start.
    """
    first_s: float | None = None
    offset_s, gone = 0.0, False
    while True:
        try:
            for frame in source.frames():
                first_s = time.monotonic() if first_s is None else first_s
                if gone:
                    offset_s, gone = time.monotonic() - first_s, False
                    notice(None)
                yield frame._replace(time_s=frame.time_s + offset_s)
            return
        except CameraError as error:
            if first_s is None or not source.live:
                raise
            if not gone:
                notice(str(error))
            gone = True
        time.sleep(retry_s)
