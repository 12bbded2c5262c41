"""The Ray Serve code of docs/how-to/serve-at-scale.md, run as its reader would."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_mnist import Classifier
from tests.conftest import REPOSITORY
from tests.docs.blocks import read_blocks
from tests.serve.conftest import DIGITS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs ray[serve], of the group test"
    ),
]
# Seconds until Ray has started processes, on two busy cores.
LIMIT_S = 240


@dataclass
class Service:
    """The running script."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, picture: bytes) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/", picture)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def answers(self) -> bool:
        try:
            return self.ask((DIGITS / "7.png").read_bytes())[0] == 200
        except OSError:
            return False

    def replicas(self) -> set[int]:
        """Return the process ids of its replicas, which are named so."""
        return {
            pid
            for pid, (parent, name) in processes().items()
            if name.startswith("ray::ServeReplica") and parent in self._family()
        }

    def _family(self) -> set[int]:
        """Return the process ids of the script and of the processes that it started itself."""
        own = self.process.pid
        return {own, *(pid for pid, (parent, _) in processes().items() if parent == own)}


def processes() -> dict[int, tuple[int, str]]:
    """Return parent and command line of every process by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(folder.name)] = parent, (folder / "cmdline").read_text().replace("\0", " ")
        except (OSError, UnicodeDecodeError):  # It ended meanwhile.
            continue
    return found


def wait_until(happened: Callable[[], bool], service: Service) -> None:
    end = time.monotonic() + LIMIT_S
    while not happened():
        alive = service.process.poll() is None
        assert alive and time.monotonic() < end, service.log.read_text()[-3000:]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The script of the guide, on a free port."""
    (block,) = [
        one
        for one in read_blocks(REPOSITORY / "docs/how-to/serve-at-scale.md")
        if "@serve.deployment" in one.text
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert block.text.count("8000") == 1
    folder = tmp_path_factory.mktemp("ray")
    (folder / "digits.py").write_text(block.text.replace("8000", str(port)))
    # Short: sockets lie in it, whose paths have at most 107 bytes.
    own = Path(tempfile.mkdtemp(prefix="ray"))
    environment = {
        **os.environ,
        "RAY_TMPDIR": str(own),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # Else, on a busy machine, Ray kills a proxy that starts more slowly than in five seconds.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    }
    environment.pop("RAY_ADDRESS", None)
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "digits.py"], cwd=folder, env=environment, stdout=file, stderr=file
        )
    try:
        one = Service(process, port, log)
        wait_until(one.answers, one)
        yield one
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            process.kill()
            shutil.rmtree(own, ignore_errors=True)


def test_the_service_answers_as_the_classifier(service: Service) -> None:
    classifier = Classifier("edge")
    for path in sorted(DIGITS.glob("*.png")):
        status, body = service.ask(path.read_bytes())
        expected = classifier.predict(path)
        assert status == 200, body
        assert json.loads(body) == {"digit": expected.digit, "confidence": expected.confidence}
    status, body = service.ask(b"no picture")
    assert status == 400
    assert json.loads(body)["error"].startswith("Expected a picture")


def test_it_listens_on_this_machine_only(service: Service) -> None:
    with socket.socket() as one:
        # Another address of this machine.
        assert one.connect_ex(("127.0.0.2", service.port)) != 0


def test_a_killed_replica_does_not_end_the_service(service: Service) -> None:
    wait_until(lambda: len(service.replicas()) == 2, service)
    killed, kept = sorted(service.replicas())
    statuses: list[int] = []
    renewed = threading.Event()

    def ask() -> None:
        picture = (DIGITS / "7.png").read_bytes()
        while not renewed.is_set():
            statuses.append(service.ask(picture)[0])
            time.sleep(0.1)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: len(statuses) > 5, service)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(service.replicas() - {killed}) == 2, service)
    finally:
        renewed.set()
        for client in clients:
            client.join()
    assert kept in service.replicas()
    # Only requests that were on their way to it may fail.
    assert statuses.count(200) > 5
    assert set(statuses) <= {200, 500, 503} and len(statuses) - statuses.count(200) <= len(clients)
    assert service.answers()
