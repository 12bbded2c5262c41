"""Fixtures: a server in a process of its own, and a client of it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist.datasets import synthetic
from tests.conftest import REPOSITORY, WHOLE

DIGITS = REPOSITORY / "examples" / "digits"


@dataclass
class Answer:
    """The answer to one request."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running `edge-mnist serve`; `address` is the printed URL, `log` its stderr so far."""

    process: subprocess.Popen[str]
    address: str
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._follow, daemon=True)
        self.reader.start()

    @property
    def port(self) -> int:
        found = re.search(r":(\d+)/", self.address)
        assert found
        return int(found[1])

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        *,
        type: str = "application/json",
        headers: dict[str, str] | None = None,
        method: str | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Content-Type": type, **(headers or {})} if body is not None else headers or {}
        connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=40)
        self.reader.join()
        assert self.process.stdout and self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def _follow(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.append(line.rstrip())


Start = Callable[..., Server]


def started(
    *arguments: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Server:
    """Start a server on a free port and wait until it listens."""
    command = Path(sys.executable).with_name("edge-mnist")
    process = subprocess.Popen(
        [command, "serve", "--port", "0", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
        cwd=cwd,
    )
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return Server(process, line.split(" on ")[1].strip())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of the shipped bundle for all tests of a file."""
    one = started("--model", WHOLE)
    yield one
    status = one.stop()
    assert status == 0
    # No request may have led to an internal error or a traceback.
    assert not [line for line in one.log if "Traceback" in line or line.startswith("500")]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a server; all are stopped at the end."""
    servers: list[Server] = []

    def begin(*arguments: str | Path, **options: Any) -> Server:
        servers.append(started(*arguments, **options))
        return servers[-1]

    yield begin
    for one in servers:
        one.stop()


@pytest.fixture(scope="session")
def images() -> tuple[Any, Any]:
    """Forty drawn digits, (40, 28, 28) uint8 as in MNIST, and their labels."""
    numbers = np.arange(40) % 10
    return synthetic.draw(numbers, seed=7), numbers
