"""Readings in; a page with the drawn frames as Motion JPEG, and the answers as events.

With the standard library's server: the extra `serve` is not needed, and a thread for each stream
waits for the next frame without a loop of its own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from ..serve.security_headers import SECURITY_HEADERS
from ..serve.settings import Settings
from .newest import Newest
from .reading import Reading

# Streams of frames or answers at a time: each is a thread, and the page has two.
_MAX_STREAMS = 16
# Seconds for a client to send a request, or to take a frame.
_CLIENT_S = 15.0
# Seconds after which a stream of answers sends something, so that it notices a client that left.
_ALIVE_S = 1.0
_BOUNDARY = "frame"
_FILES = {
    "": ("camera/page/index.html", "text/html; charset=utf-8"),
    "page.css": ("serve/page/page.css", "text/css"),
    "camera.css": ("camera/page/camera.css", "text/css"),
    "camera.js": ("camera/page/camera.js", "text/javascript"),
}


class PageServer(ThreadingHTTPServer):
    """The server of the page.

    Args:
        listener: the socket to listen on.
        settings: the host names that are accepted, and the token, with which every path begins.
        readings: with images.
        title: of the page.
        notice: returns the reason for which there are no frames, if there are none.
    """

    daemon_threads = True

    def __init__(
        self,
        listener: socket,
        settings: Settings,
        readings: Newest[Reading],
        *,
        title: str,
        notice: Callable[[], str | None],
    ) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.readings, self.title, self.notice = readings, title, notice
        self.hosts = settings.hosts
        self.base = f"/{settings.token}/" if settings.token else "/"
        self.streams = threading.BoundedSemaphore(_MAX_STREAMS)
        package = files(__package__.rpartition(".")[0])
        self.files = {
            name: ((package / path).read_bytes(), kind) for name, (path, kind) in _FILES.items()
        }

    def run(self) -> None:
        """Serve until the readings end.

        Raises:
            EdgeMnistError: the error that ended the readings.
        """
        threading.Thread(target=self.serve_forever, daemon=True).start()
        for _ in self.readings:
            pass
        self.shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that closes its page is no error."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request: a file of the page, the frames or the answers."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = _CLIENT_S

    def do_GET(self) -> None:
        """Answer a GET."""
        server = self.server
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if server.hosts is not None and host not in server.hosts:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST)
            return
        name = self.path.partition("?")[0]
        found = name.removeprefix(server.base) if name.startswith(server.base) else None
        streams = {"video": self._video, "answers": self._answers}
        if found in streams:
            self._stream(streams[found])
        elif found in server.files:
            self._answer(HTTPStatus.OK, *server.files[found])
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a path holds the token."""

    def _answer(
        self, status: HTTPStatus, content: bytes | None = None, kind: str = "text/plain"
    ) -> None:
        content = f"{status} {status.phrase}\n".encode() if content is None else content
        self._head(status, kind, len(content))
        self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, size_bytes: int | None) -> None:
        """Send the headers; without a size, the end of the connection is the end of the answer."""
        ends = {"Connection": "close"} if size_bytes is None else {"Content-Length": size_bytes}
        self.send_response(status)
        for name, value in ({"Content-Type": kind} | ends | SECURITY_HEADERS).items():
            self.send_header(name, str(value))
        self.end_headers()

    def _stream(self, write: Callable[[], None]) -> None:
        """Answer with a stream, unless there are too many already."""
        if not self.server.streams.acquire(blocking=False):
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        try:
            write()
        except OSError:
            pass  # The client has left, or is too slow.
        finally:
            self.server.streams.release()

    def _video(self) -> None:
        """Send the drawn frames. A browser shows one when it sees the boundary after it."""
        self._head(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={_BOUNDARY}", None)
        self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
        for reading in self._readings():
            if reading is not None:
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(reading.jpeg)}\r\n\r\n"
                end = f"\r\n--{_BOUNDARY}\r\n"
                self.wfile.write(head.encode() + reading.jpeg + end.encode())

    def _answers(self) -> None:
        """Send what was read in each frame, as server-sent events."""
        self._head(HTTPStatus.OK, "text/event-stream", None)
        for reading in self._readings():
            event: dict[str, Any] = {"source": self.server.title, "notice": self.server.notice()}
            if reading is not None:
                event["rate"] = round(reading.rate, 1)
                if reading.settled is not None:
                    event |= _event(reading)
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def _readings(self) -> Iterator[Reading | None]:
        """Yield the newest reading, each once, and None while there is none for a second."""
        number, readings = 0, self.server.readings
        while not readings.ended:
            number, reading = readings.wait(number, _ALIVE_S)
            yield reading


def _event(reading: Reading) -> dict[str, Any]:
    """Return the settled answer, and when it settled."""
    assert reading.settled is not None
    prediction = reading.settled.prediction
    return {
        "label": prediction.label,
        "confidence": round(prediction.confidence, 4),
        "reason": prediction.reason,
        "time_s": round(reading.time_s, 1),
    }
