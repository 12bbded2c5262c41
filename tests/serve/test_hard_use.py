"""Access control, bad traffic beside good, and stop and reload during requests."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_mnist.store import Store, install, rollback
from tests.conftest import WHOLE
from tests.serve.conftest import DIGITS, Answer, Server, Start

SEVEN = (DIGITS / "7.png").read_bytes()
TOKEN = "a-token-that-nobody-guesses"


def predict(server: Server, picture: bytes = SEVEN, **headers: str) -> Answer:
    return server.ask("/v1/predict", picture, type="image/png", headers=headers)


# ----- Access control ----------------------------------------------------------------------------


def test_safety_headers_are_on_every_answer(server: Server) -> None:
    for path in ("/", "/page.js", "/v1/model", "/nothing"):
        headers = server.ask(path).headers
        assert headers["Content-Security-Policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Access-Control-Allow-Origin"] is None
        assert headers["Server"] is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_a_name_that_leads_here_is_not_enough(server: Server, host: str) -> None:
    answer = server.ask("/v1/model", headers={"Host": host})
    assert answer.status == 421
    assert "Expected one of the host names 127.0.0.1, ::1, localhost" in answer.json["detail"]
    assert server.ask("/v1/model", headers={"Host": "localhost:9000"}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_pages_elsewhere_may_not_ask(server: Server, origin: str) -> None:
    answer = predict(server, Origin=origin)
    assert answer.status == 403
    assert "start the server with --allow-origin" in answer.json["detail"]
    own = f"http://127.0.0.1:{server.port}"
    assert predict(server, Origin=own).status == 200


def test_an_allowed_origin_may(start: Start) -> None:
    one = start("--allow-origin", "https://example.org")
    answer = predict(one, Origin="https://example.org")
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert one.ask("/v1/predict", method="OPTIONS", headers=asked).status == 200
    assert predict(one, Origin="https://example.com").status == 403


def test_beyond_loopback_a_token_is_made_and_asked_for(start: Start) -> None:
    one = start("--host", "0.0.0.0")
    address, _, token = one.address.partition("#token=")
    assert address.startswith("http://") and len(token) >= 32
    refused = predict(one)
    assert refused.status == 401 and refused.headers["WWW-Authenticate"] == "Bearer"
    assert "Expected the header Authorization: Bearer TOKEN" in refused.json["detail"]
    for wrong in (token, f"Bearer {token}x", f"Bearer {token[:-1]}", "Bearer \xff", "Basic x"):
        assert predict(one, Authorization=wrong).status == 401
    for path in ("/v1/model", "/v1/benchmark", "/metrics", "/v2", "/v2/health/live", "/x"):
        assert one.ask(path).status == 401
    for path in ("/", "/page.js", "/page.css", "/api", "/api.js", "/openapi.json", "/healthz"):
        assert one.ask(path).status == 200
    assert predict(one, Authorization=f"Bearer {token}").json["predictions"][0]["digit"] == 7


def test_a_token_may_come_from_the_environment_and_hold_on_loopback(start: Start) -> None:
    one = start(env={"EDGE_MNIST_TOKEN": TOKEN})
    assert predict(one).status == 401
    assert predict(one, Authorization=f"Bearer {TOKEN}").status == 200
    one.stop()
    assert TOKEN not in "".join(one.log) + one.address


def test_the_log_holds_size_time_and_status_alone(start: Start) -> None:
    one = start()
    predict(one)
    one.ask("/v1/predict?model=secret", b"words", type="text/plain", headers={"X-A": "secret"})
    one.stop()
    model, first, second = one.log
    assert model.startswith("Model: edge (ships with edge-mnist), trained on mnist-train, ")
    assert first.startswith(f"200 {len(SEVEN)} bytes ") and first.endswith(" ms")
    assert second.startswith("404 0 bytes ")
    assert len(second.split()) == 5


# ----- Bad traffic -------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as one:
        yield one


def head(length: int | str, *more: str) -> bytes:
    lines = ("POST /v1/predict HTTP/1.1", "Host: 127.0.0.1", "Content-Type: image/png", *more)
    return "\r\n".join((*lines, f"Content-Length: {length}", "", "")).encode()


def received(one: socket.socket) -> bytes:
    """Return everything that the server sends until it closes the connection."""
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := one.recv(65536):
            content += piece
    return content


def oversized(server: Server) -> None:
    with opened(server) as one:
        one.sendall(head(9_000_000))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            one.sendall(bytes(9_000_000))
        assert received(one).startswith(b"HTTP/1.1 413 ")


def endless_chunks(server: Server) -> None:
    with opened(server) as one:
        one.sendall(head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                one.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
        one.sendall(b"0\r\n\r\n")
        assert received(one).startswith(b"HTTP/1.1 413 ")


def truncated(server: Server) -> None:
    assert predict(server, SEVEN[: len(SEVEN) // 2]).status == 422


def wrong_type(server: Server) -> None:
    assert server.ask("/v1/predict", b"<xml/>", type="text/xml").status == 415


def compressed(server: Server) -> None:
    assert predict(server, **{"Content-Encoding": "gzip"}).status == 415


def aborted(server: Server) -> None:
    with opened(server) as one:
        one.sendall(head(len(SEVEN)) + SEVEN[:100])


def aborted_before_the_answer(server: Server) -> None:
    with opened(server) as one:
        one.sendall(head(len(SEVEN)) + SEVEN)


def no_http(server: Server) -> None:
    with opened(server) as one:
        one.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert received(one).startswith(b"HTTP/1.1 400 ")


def wrong_length(server: Server) -> None:
    with opened(server) as one:
        one.sendall(head("many"))
        assert received(one).startswith(b"HTTP/1.1 400 ")


def large_headers(server: Server) -> None:
    with opened(server) as one:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            one.sendall(head(0, "X: " + "x" * 200_000))
        assert received(one)[:13] in (b"HTTP/1.1 400 ", b"")


def websocket(server: Server) -> None:
    asked = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    assert server.ask("/v1/model", headers=asked).status == 200


BAD: list[Callable[[Server], None]] = [
    *(oversized, endless_chunks, truncated, wrong_type, compressed, aborted),
    *(aborted_before_the_answer, no_http, wrong_length, large_headers, websocket),
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_traffic_is_refused(server: Server, bad: Callable[[Server], None]) -> None:
    bad(server)
    assert predict(server).status == 200


SLOW = {
    "headers that never end": b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "nothing at all": b"",
    "a body that never ends": head(1000),
    "a body of a GET": b"GET /v1/model HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n",
}


def drip(one: socket.socket, name: str) -> tuple[float, bytes]:
    """Send a byte every half second until the server closes; return the seconds and its answer."""
    start = time.monotonic()
    one.settimeout(0.5)
    content, letter = b"", b"x" if "body" in name else b"X"
    while time.monotonic() - start < 30:
        try:
            piece = one.recv(65536)
            content += piece
            if not piece:
                break
        except TimeoutError:
            with contextlib.suppress(OSError):
                if name != "nothing at all":
                    one.sendall(letter)
        except ConnectionResetError:
            break
    return time.monotonic() - start, content


@pytest.mark.slow
def test_slow_senders_are_dropped_and_200_connections_keep_nobody_out(server: Server) -> None:
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        idle = [stack.enter_context(opened(server)) for _ in range(200)]
        slow = {name: stack.enter_context(opened(server)) for name in SLOW}
        for name, one in slow.items():
            one.sendall(SLOW[name])
        drops = {name: threads.submit(drip, one, name) for name, one in slow.items()}
        end = time.monotonic() + 8
        while time.monotonic() < end:
            assert predict(server).json["predictions"][0]["digit"] == 7
        for name, drop in drops.items():
            time_s, content = drop.result()
            assert time_s < 20, name
            if name == "a body that never ends":
                assert content.startswith(b"HTTP/1.1 408 ") and b"send it faster" in content
        assert all(received(one) == b"" for one in idle)


@pytest.mark.slow
def test_a_full_queue_answers_503_with_retry_after(start: Start) -> None:
    one = start("--quiet")
    pixels = json.dumps({"images": [[[0] * 28] * 28] * 1000}).encode()
    with ThreadPoolExecutor(120) as threads:
        asked = threads.map(lambda _: one.ask("/v1/predict", pixels), range(120))
        answers = list(asked)
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 503}
    busy = next(answer for answer in answers if answer.status == 503)
    assert busy.headers["Retry-After"] == "1"
    assert "Expected a server with spare capacity, got" in busy.json["detail"]
    assert predict(one).status == 200


# ----- Stopping and reloading --------------------------------------------------------------------


@pytest.mark.slow
def test_sigterm_answers_what_is_in_flight(start: Start) -> None:
    one = start()
    pixels = json.dumps({"images": [[[0] * 28] * 28] * 1000}).encode()
    with ThreadPoolExecutor(12) as threads:
        asked = [threads.submit(one.ask, "/v1/predict", pixels) for _ in range(12)]
        time.sleep(0.3)
        assert one.stop() == 0
        assert {answer.result().status for answer in asked} == {200}


@pytest.mark.slow
def test_sighup_reloads_without_losing_a_request(start: Start, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(WHOLE, bundle)
    one = start("--model", bundle)
    done, statuses = threading.Event(), []

    def ask() -> None:
        while not done.is_set():
            statuses.append(predict(one).status)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    files = manifest["artifacts"]
    try:
        for count in range(6):
            kept = ("float32", "int8")[count % 2]
            manifest["artifacts"] = [file for file in files if file["precision"] == kept]
            (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
            numpy = ", model-int8.tflite-numpy" * (kept == "int8")
            names = f"model-{kept}.tflite-litert{numpy}, model-{kept}.onnx-onnx"
            reload(one, f"Reloaded bundle: {names}")
            assert one.ask("/v1/model").json["default"] == f"model-{kept}.tflite-litert"
        (bundle / "model-int8.tflite").write_bytes(b"broken")
        reload(one, "edge-mnist: warning: kept the models as they were: Expected ")
        assert one.ask("/v1/model").json["default"] == "model-int8.tflite-litert"
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 20 and set(statuses) == {200}
    assert 'edge_mnist_reloads_total{result="failed"} 1' in one.ask("/metrics").body.decode()


def reload(server: Server, expected: str) -> None:
    """Send SIGHUP, wait for a new line of the log, and then 0.2 s for further requests."""
    before = len(server.log)
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if any(line.startswith(expected) for line in server.log[before:]):
            time.sleep(0.2)
            return
        time.sleep(0.05)
    raise AssertionError(server.log[-20:])


@pytest.mark.slow
def test_sighup_follows_the_link_of_the_store(start: Start, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    install("edge", store=store, backend="numpy")
    one = start("--model", "installed", env={"EDGE_MNIST_STORE": str(store.folder)})

    def served() -> str:
        return str(one.ask("/v1/model").json["model"]["manifest_sha256"])

    first = store.current()
    assert first and served() == first.sha256
    second = install("nano", store=store, backend="numpy").generation
    assert served() == first.sha256
    reload(one, f"Model: installed {second.sha256[:12]}, trained on mnist-train")
    assert served() == second.sha256
    (second.folder / "model-int8.tflite").unlink()
    reload(one, "edge-mnist: warning: kept the models as they were: Expected ")
    assert served() == second.sha256 and predict(one).status == 200
    assert rollback(store) == first
    reload(one, f"Model: installed {first.sha256[:12]}")
    assert served() == first.sha256
