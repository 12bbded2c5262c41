"""A source and a classifier in; lines, a window or a page out, with a thread for each stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from ..classifier import Classifier
from ..serve.address import base_url, listen
from ..serve.settings import ServerOptions, resolve_settings
from .clip import Clip
from .following import follow
from .frame import Frame, Source
from .newest import Newest
from .page import PageServer
from .reading import Reading, read
from .smoothing import Smoothing
from .window import show


class Watch:
    """A source that is read, and what hears of its answers.

    Args:
        source: a camera or a clip.
        classifier: reads the digits.
        stable: frames in a row that have to agree before the answer changes.
        line: called with each reading that changes the answer.
        say: called with a line about the camera, or with the address of the page.
    """

    def __init__(
        self,
        source: Source,
        classifier: Classifier,
        *,
        stable: int,
        line: Callable[[Reading], None],
        say: Callable[[str], None],
    ) -> None:
        self._source, self._classifier = source, classifier
        self._stable, self._line, self._say = stable, line, say
        self._notice: str | None = None

    def as_lines(self) -> None:
        """Read every frame of a clip as fast as possible, and the newest of a camera.

        Raises:
            CameraError, ImageError: the source cannot be opened, or holds no frames.
        """
        frames = follow(self._source, notice=self._tell)
        with ExitStack() as stack:
            live = stack.enter_context(Newest(frames)) if self._source.live else frames
            for _ in self._read(live, images=False):
                pass

    def in_window(self) -> None:
        """Show the frames in a window, until it is closed or a clip ends."""
        title = f"{self._source.name} – edge-mnist"
        self._show(lambda readings: show(readings, title, lambda: self._notice), repeat=False)

    def on_page(self, options: ServerOptions) -> None:
        """Show the frames on a page without end; a clip is repeated.

        Raises:
            ServeError: the address is in use, or not of this machine.
        """
        settings = resolve_settings(options, benchmark=None, log=False)
        # Clients get no path of this machine.
        source = self._source
        title = Path(source.name).name if isinstance(source, Clip) else source.name

        def run(readings: Newest[Reading]) -> None:
            with PageServer(
                listener, settings, readings, title=title, notice=lambda: self._notice
            ) as server:
                url = base_url(options.host, listener.getsockname()[1]).rstrip("/") + server.base
                self._say(f"Showing {source.name} on {url}")
                server.run()

        with listen(options) as listener:
            self._show(run, repeat=True)

    def _show(self, view: Callable[[Newest[Reading]], None], *, repeat: bool) -> None:
        """Run a view of the newest readings; frames and readings have a thread each."""
        if isinstance(self._source, Clip):
            frames = self._source.play(repeat=repeat)
        else:
            frames = follow(self._source, notice=self._tell)
        with Newest(frames) as live, Newest(self._read(live, images=True)) as readings:
            view(readings)

    def _read(self, frames: Iterable[Frame], *, images: bool) -> Iterator[Reading]:
        """Yield readings, after the line of those that change the answer."""
        smoothing = Smoothing(self._stable)
        for reading in read(frames, self._classifier, smoothing, images=images):
            if reading.changed:
                self._line(reading)
            yield reading

    def _tell(self, reason: str | None) -> None:
        """Say once that the camera is gone, and once that it is back."""
        self._notice = f"{reason} Waiting for it." if reason else None
        line = f"warning: {self._notice}" if reason else f"note: {self._source.name} is back."
        self._say(f"edge-mnist: {line}")
