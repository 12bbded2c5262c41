"""A frame, and the interface of what yields frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from PIL import Image


class Frame(NamedTuple):
    """One picture of a camera or a clip.

    Attributes:
        picture: an encoded picture's bytes, such as JPEG, or a PIL image.
        time_s: seconds since the first frame.
    """

    picture: bytes | Image.Image
    time_s: float


class Source(Protocol):
    """A camera or a clip.

    Attributes:
        name: for messages, such as "/dev/video0".
        live: whether frames come at the camera's pace, so that one not taken in time is lost.
    """

    @property
    def name(self) -> str: ...

    @property
    def live(self) -> bool: ...

    def frames(self) -> Iterator[Frame]:
        """Open the source and yield its frames; a clip ends, a camera does not.

        Raises:
            CameraError: there is no such camera, it is taken, forbidden or gone.
        """
        ...
