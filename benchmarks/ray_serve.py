"""Requests a second of Ray Serve beside `edge-mnist serve`, on loopback: one picture each.

    python benchmarks/ray_serve.py [--rounds 5]

The deployment is that of docs/how-to/serve-at-scale.md, with one replica, with two, and with
`serve.batch`. All servers run at once; each round asks one after the other, so that drift affects
all alike. It needs ray[serve], of the group test.
"""

from __future__ import annotations

import http.client
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from edge_mnist import Classifier
from edge_mnist.bundle import SHIPPED
from edge_mnist.system import ray_cluster
from tests.conftest import REPOSITORY
from tests.docs.blocks import read_blocks
from tests.serve.conftest import DIGITS, started

TIME_S = 3.0
CLIENTS = 8
PICTURE = (DIGITS / "7.png").read_bytes()


def documented() -> dict[str, Any]:
    """Return the names that the code of the how-to defines."""
    guide = REPOSITORY / "docs/how-to/serve-at-scale.md"
    (block,) = [one for one in read_blocks(guide) if "@serve.deployment" in one.text]
    names: dict[str, Any] = {"__name__": "digits"}
    exec(compile(block.text, block.place, "exec"), names)
    return names


def batched(serve: Any) -> Any:
    """Return a deployment that reads the pictures of several requests in one call."""

    @serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 1})
    class Batched:
        def __init__(self, model: str) -> None:
            self.classifier = Classifier(model)

        @serve.batch(max_batch_size=CLIENTS, batch_wait_timeout_s=0.002)
        async def read(self, pictures: list[bytes]) -> list[int | None]:
            return [self.classifier.predict(picture).digit for picture in pictures]

        async def __call__(self, request: Any) -> dict[str, Any]:
            return {"digit": await self.read(await request.body())}

    return Batched


def rate(port: int, path: str, times_s: list[float]) -> float:
    """Return requests a second of several clients, each with one connection."""
    end = time.perf_counter() + TIME_S

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while (start := time.perf_counter()) < end:
            connection.request("POST", path, PICTURE, {"Content-Type": "image/png"})
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            times_s.append(time.perf_counter() - start)
        connection.close()

    before, start = len(times_s), time.perf_counter()
    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (len(times_s) - before) / (time.perf_counter() - start)


@click.command()
@click.option("--rounds", default=5, show_default=True)
def main(rounds: int) -> None:
    """Measure servers of the shipped bundle."""
    server = started("--model", SHIPPED, "--quiet")
    with ray_cluster.session(None, cpus=8):
        names = documented()
        serve, digits = names["serve"], names["Digits"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        apps = {
            "Ray Serve, 1 replica": digits.options(num_replicas=1),
            "Ray Serve, 2 replicas": digits.options(num_replicas=2),
            "Ray Serve, 1 replica, serve.batch": batched(serve),
        }
        places = {"edge-mnist serve": (server.port, "/v1/predict")}
        for number, (name, deployment) in enumerate(apps.items()):
            serve.run(deployment.bind("edge"), name=name, route_prefix=f"/{number}")
            places[name] = (port, f"/{number}")
        measure(places, rounds)
        serve.shutdown()
    server.stop()


def measure(places: dict[str, tuple[int, str]], rounds: int) -> None:
    """Print requests a second, their ratio to the first server's, and the latency."""
    rates: dict[str, list[float]] = {name: [] for name in places}
    times_s: dict[str, list[float]] = {name: [] for name in places}
    for number in range(rounds + 1):
        for name, (port, path) in places.items():
            if number == 0:  # warm-up
                rate(port, path, [])
            else:
                rates[name].append(rate(port, path, times_s[name]))
    base = np.array(rates[next(iter(places))])
    for name, values in rates.items():
        ratio = float(np.median(np.array(values) / base))
        p50, p99 = np.percentile(times_s[name], (50, 99)) * 1000
        click.echo(
            f"{name:34} {np.median(values):7,.0f}/s  ratio {ratio:.2f}  "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )


if __name__ == "__main__":
    main()
