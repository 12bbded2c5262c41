"""A recorded clip in, its frames out: what Pillow reads without more, other videos through PyAV."""

from __future__ import annotations

import mmap
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageSequence

from ..errors import CameraError
from ..vision.decode import MAX_PIXELS
from ..vision.picture_files import list_pictures
from .frame import Frame
from .pyav import import_pyav

# Frames a second of a clip that does not state it: FFmpeg's assumption for Motion JPEG too.
DEFAULT_RATE = 25
_START, _BETWEEN = b"\xff\xd8\xff", b"\xff\xd9\xff\xd8\xff"  # of a JPEG; its end and the next
# Pillow's errors for broken files.
_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".3gp")


@dataclass(frozen=True)
class Clip:
    """A folder of pictures, an animated GIF, PNG or WebP, a TIFF of several pages, or a video.

    A file of JPEGs that follow one another (Motion JPEG) is a video that needs no further library.
    """

    path: Path
    live: bool = False

    @property
    def name(self) -> str:
        """The path as given."""
        return str(self.path)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order.

        Raises:
            CameraError: PyAV is missing, or the file is no video.
            ImageError: the folder holds no pictures.
        """
        if self.path.is_dir():
            for number, (_, path) in enumerate(list_pictures((self.name,))):
                yield Frame(Path(str(path)).read_bytes(), number / DEFAULT_RATE)
        elif self.path.suffix.lower() in _VIDEO_SUFFIXES:
            yield from self._video()
        elif self._start() == _START:
            yield from self._motion_jpeg()
        else:
            yield from self._pages()

    def play(self, *, repeat: bool) -> Iterator[Frame]:
        """Yield the frames at the clip's own pace, once or again and again."""
        while True:
            start_s = time.monotonic()
            for frame in self.frames():
                time.sleep(max(start_s + frame.time_s - time.monotonic(), 0.0))
                yield frame
            if not repeat:
                return

    def _start(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(len(_START))

    def _motion_jpeg(self) -> Iterator[Frame]:
        """Yield the JPEGs of a file that holds one after another; a photograph is one frame."""
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            start, number = 0, 0
            while start < len(content):
                found = content.find(_BETWEEN, start)
                end = len(content) if found < 0 else found + 2
                yield Frame(content[start:end], number / DEFAULT_RATE)
                start, number = end, number + 1

    def _pages(self) -> Iterator[Frame]:
        """Yield the frames of a file that Pillow reads, by the durations that it states."""
        try:
            with Image.open(self.path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"frames of {image.width}×{image.height} pixels")
                time_ms = 0.0
                for page in ImageSequence.Iterator(image):
                    yield Frame(page.convert("RGB"), time_ms / 1000)
                    time_ms += image.info.get("duration") or 1000 / DEFAULT_RATE
        except (*_ERRORS, Image.DecompressionBombError) as error:
            raise self._unreadable(str(error)) from error

    def _video(self) -> Iterator[Frame]:
        av = import_pyav(self.name)
        try:
            with av.open(self.name) as container:
                for number, frame in enumerate(container.decode(video=0)):
                    time_s = number / DEFAULT_RATE if frame.time is None else frame.time
                    yield Frame(frame.to_image(), time_s)
        except (av.error.FFmpegError, OSError, IndexError) as error:
            raise self._unreadable(getattr(error, "strerror", None) or str(error)) from error

    def _unreadable(self, reason: str) -> CameraError:
        return CameraError(
            f"Expected a clip (a folder of pictures, GIF, WebP, TIFF, Motion JPEG or a video), got "
            f"{self.name}: {reason}; record it again, or convert it.",
            code="camera-clip",
        )
