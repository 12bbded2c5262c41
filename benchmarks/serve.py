"""Load test of `edge-mnist serve` on loopback: throughput beside `predict`, then mixed traffic.

    python benchmarks/serve.py [--rounds 5] [--minutes 10]

Each round measures `Classifier.predict` in this process and then the server, with each form of a
request, so that drift affects all alike. The traffic is that of tests/serve/test_hard_use.py.
Errors for valid requests, memory and the exit status are printed.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from edge_mnist import Classifier
from edge_mnist.bundle import SHIPPED
from edge_mnist.datasets import synthetic
from tests.serve import test_hard_use as traffic
from tests.serve.conftest import DIGITS, Server, started

TIME_S = 2.0
V1, V2 = "/v1/predict", "/v2/models/default/infer"


class Client:
    """A persistent connection, and the seconds that each of its requests took."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.times_s: list[float] = []

    def connect(self) -> None:
        """Connect anew: the server drops connections that idle while others take their turns."""
        self._connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)

    def ask(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Return the body of the answer, which must have status 200."""
        start = time.perf_counter()
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        self.times_s.append(time.perf_counter() - start)
        assert response.status == 200, content
        return content


def forms(images: np.ndarray) -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """Return the same images as path, body and headers of each kind of request."""
    typed = {"Content-Type": "application/json"}
    rows = json.dumps({"images": images.tolist()}).encode()
    pixels = json.dumps({"pixels": base64.b64encode(images.tobytes()).decode()}).encode()
    size = {"binary_data_size": images.nbytes}
    tensor = {"name": "image", "shape": images.shape, "datatype": "UINT8", "parameters": size}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    binary = {"Inference-Header-Content-Length": str(len(head))}
    return {
        "v2, binary": (V2, head + images.tobytes(), binary),
        "v1, pixels in base64": (V1, pixels, typed),
        "v1, rows of numbers": (V1, rows, typed),
    }


def rate(work: Callable[[], object], images: int) -> float:
    """Return images per second."""
    start, count = time.perf_counter(), 0
    while (time_s := time.perf_counter() - start) < TIME_S:
        work()
        count += images
    return count / time_s


def throughput(server: Server, rounds: int) -> None:
    """Print images per second, and the latency of requests, beside `predict`."""
    classifier = Classifier(SHIPPED)
    for count in (256, 1):
        images = synthetic.draw(np.arange(count) % 10, seed=1)
        clients = {name: Client(server) for name in forms(images)}
        rates: dict[str, list[float]] = {"predict": [], **{name: [] for name in clients}}

        def alone(images: np.ndarray = images) -> None:
            for image in images:
                classifier.predict(image)

        for _ in range(rounds):
            rates["predict"].append(rate(alone, count))
            for name, form in forms(images).items():
                clients[name].connect()
                rates[name].append(rate(lambda c=clients[name], f=form: c.ask(*f), count))
        base = np.array(rates["predict"])
        for name, values in rates.items():
            ratio = float(np.median(np.array(values) / base))
            line = f"{count:4} images, {name:22} {np.median(values):9,.0f}/s  ratio {ratio:.2f}"
            if name in clients:
                p50, p99 = np.percentile(clients[name].times_s, (50, 99)) * 1000
                line += f"  request p50 {p50:.2f} ms, p99 {p99:.2f} ms"
            click.echo(line)


def memory_mb(server: Server) -> float:
    """Return the resident memory of the server, in MB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def soak(server: Server, minutes: float) -> None:
    """Send valid and invalid requests, with 200 idle connections; print counts and latency."""
    end = time.monotonic() + 60 * minutes
    good: list[float] = []
    bad: Counter[str] = Counter()

    def ask_well() -> None:
        while time.monotonic() < end:
            start = time.perf_counter()
            digit = len(good) % 10
            answer = traffic.predict(server, (DIGITS / f"{digit}.png").read_bytes())
            good.append(time.perf_counter() - start)
            assert answer.status == 200, answer.body
            time.sleep(0.1)

    def ask_badly() -> None:
        while time.monotonic() < end:
            for kind in traffic.BAD:
                kind(server)
                bad[kind.__name__] += 1
                time.sleep(0.2)

    def stay() -> None:
        while time.monotonic() < end:
            with traffic.opened(server) as one:
                traffic.received(one)
                bad["idle until dropped"] += 1

    def drip(name: str) -> None:
        while time.monotonic() < end:
            with traffic.opened(server) as one:
                one.sendall(traffic.SLOW[name])
                traffic.drip(one, name)
                bad[name] += 1

    work = [(ask_well, ())] * 2 + [(ask_badly, ())] + [(stay, ())] * 200
    work += [(drip, (name,)) for name in traffic.SLOW]
    failures: list[str] = []
    threading.excepthook = lambda raised: failures.append(repr(raised.exc_value))
    threads = [threading.Thread(target=task, args=arguments) for task, arguments in work]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        time.sleep(min(60.0, 60 * minutes / 5))
        click.echo(f"{len(good)} good, {sum(bad.values())} bad, {memory_mb(server):.0f} MB")
    for thread in threads:
        thread.join()
    p50, p99 = np.percentile(good, (50, 99)) * 1000
    click.echo(f"good: {len(good)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms; failures: {failures}")
    click.echo("bad: " + ", ".join(f"{name} {count}" for name, count in bad.items()))


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--minutes", default=0.0, show_default=True)
def main(rounds: int, minutes: float) -> None:
    """Measure a server of the shipped bundle."""
    server = started("--model", SHIPPED, "--quiet")
    try:
        if rounds:
            throughput(server, rounds)
        if minutes:
            soak(server, minutes)
    finally:
        click.echo(f"exit status after SIGTERM: {server.stop()}; on stderr: {server.log}")


if __name__ == "__main__":
    main()
