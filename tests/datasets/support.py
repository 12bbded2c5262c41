"""Real HTTP mirrors with faults, and files with MNIST's headers, for the tests of this room."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from edge_mnist.datasets import idx

TEST_IMAGES, TEST_LABELS = idx.FILES["test"]
TRAIN_IMAGES, TRAIN_LABELS = idx.FILES["train"]


class Mirror(ThreadingHTTPServer):
    """An HTTP server of `content` by archive name, with the faults that a test asks for."""

    daemon_threads = True

    def __init__(
        self,
        content: dict[str, bytes],
        *,
        ranges: bool = True,
        delay_s: float = 0,  # before it answers HEAD
        break_at: int = 2**30,  # bytes of a body sent before the transfer stops, `breaks` times
        breaks: int = 1,
        end: Literal["close", "stall", "dribble"] = "close",
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.ranges, self.delay_s = content, ranges, delay_s
        self.break_at, self.breaks, self.end = break_at, breaks, end
        self.requests: list[tuple[str, str, str | None]] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    @property
    def gets(self) -> list[tuple[str, str | None]]:
        return [(path, span) for method, path, span in self.requests if method == "GET"]

    def handle_error(self, *_: object) -> None:
        """Print nothing: clients that hang up early are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_HEAD(self) -> None:
        time.sleep(self.server.delay_s)
        self._answer()

    def do_GET(self) -> None:
        body = self._answer()
        stop = self.server.break_at
        if not self.server.breaks or len(body) <= stop:
            self.wfile.write(body)
            return
        self.server.breaks -= 1
        self.wfile.write(body[:stop])
        if self.server.end == "stall":
            time.sleep(3)
        if self.server.end == "dribble":
            for byte in body[stop : stop + 30]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)

    def _answer(self) -> bytes:
        span = self.headers.get("Range")
        self.server.requests.append((self.command, self.path[1:], span))
        body = self.server.content.get(self.path[1:])
        if body is None:
            self.send_error(404)
            return b""
        start = int(span[6:-1]) if span and self.server.ranges else 0
        if start and start >= len(body):
            self.send_error(416)
            return b""
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        return body[start:]

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def foreign_content(file: idx.MnistFile, fill: int = 0) -> bytes:
    """Return content with `file`'s header and size that is not MNIST's."""
    return file.header + bytes([fill]) * (file.size_bytes - len(file.header))


def write_idx(folder: Path, file: idx.MnistFile, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file.name
    path.write_bytes(content)
    return path


def in_cache(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []
