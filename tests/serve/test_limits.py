"""Limits that take long to reach at their default values, with smaller values."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus

import pytest
import uvicorn

from edge_mnist.serve.app import build_app
from edge_mnist.serve.connection_timeouts import TimeoutProtocol
from edge_mnist.serve.models import ModelSource
from edge_mnist.serve.problem_details import RequestError
from edge_mnist.serve.request_body import MemoryBudget
from edge_mnist.serve.service import Service
from edge_mnist.serve.settings import Limits, Settings
from edge_mnist.serve.worker_queue import WorkerQueue
from tests.conftest import SHIPPED

SMALL = Limits(connections=3, write_s=0.5, headers_s=1.0, held_bytes=100)


def test_work_that_takes_too_long_is_a_503_and_keeps_its_place_until_it_ends() -> None:
    queue = WorkerQueue(replace(SMALL, predict_s=0.05, queue=2, workers=1))
    free = threading.Event()

    async def scenario() -> list[int]:
        asked = [asyncio.create_task(queue.run(free.wait)) for _ in range(3)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, RequestError) for answer in answers)
        messages = [str(answer) for answer in answers]
        assert "got no answer within 0.05 seconds" in messages[0]
        assert "got 2 requests already waiting" in messages[2]
        assert all(one.status == HTTPStatus.SERVICE_UNAVAILABLE for one in answers)  # type: ignore[union-attr]
        # The second was cancelled while it waited; the first still occupies its thread.
        assert queue.depth == 1
        free.set()
        while queue.depth:
            await asyncio.sleep(0.01)
        return [await queue.run(lambda: 7)]

    assert asyncio.run(asyncio.wait_for(scenario(), 10)) == [7]
    queue.close()


def test_bodies_in_memory_have_a_limit_together() -> None:
    memory = MemoryBudget(100)
    with memory.reserve() as first:
        first(60)
        with pytest.raises(RequestError) as caught, memory.reserve() as second:
            second(30)
            second(30)
        assert caught.value.code == "request-memory"
        assert memory.size_bytes == 60
    assert memory.size_bytes == 0


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server with small limits, in a thread of this process."""
    service = Service(ModelSource(str(SHIPPED)), Settings(limits=SMALL, log=False))
    listener = socket.create_server(("127.0.0.1", 0))
    protocol = TimeoutProtocol.with_limits(SMALL)
    config = uvicorn.Config(build_app(service), http=protocol, log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    service.queue.close()


def ended(one: socket.socket, within_s: float) -> bool:
    """Read until the server closes the connection; return False if that takes too long."""
    one.settimeout(within_s)
    try:
        while one.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_more_connections_than_the_limit_are_closed_at_once(port: int) -> None:
    within = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", port)) as over:
        assert ended(over, 0.5)
    assert not ended(within[0], 0.1)
    for one in within:
        assert ended(one, 3)
        one.close()


def test_a_client_that_reads_nothing_is_dropped(port: int) -> None:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", port))
        asked = b"GET /page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        one.settimeout(10)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            # More than the buffers of both sides hold, so the server can neither write nor read.
            for _ in range(20_000):
                one.sendall(asked * 50)
