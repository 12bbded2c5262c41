"""Ray on this machine, and addresses where no cluster answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from edge_mnist.system import ray_cluster
from tests.errors import raises


@pytest.mark.slow
def test_ray_runs_here_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with ray_cluster.session(None, cpus=1) as ray:
        assert ray.get(ray.remote(lambda: os.getpid()).remote()) != os.getpid()
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not ray.is_initialized()


@pytest.fixture
def free_port() -> Iterator[int]:
    """Yield a port that is bound, and that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:port", "", "127.0.0.1:99999"])
def test_an_address_without_a_cluster_fails_at_once(address: str) -> None:
    start = time.monotonic()
    with raises("cluster-address"), ray_cluster.session(address):
        pass
    assert time.monotonic() - start < 20


def test_a_port_that_nobody_listens_on_fails_at_once(free_port: int) -> None:
    with (
        raises("cluster-address"),
        ray_cluster.session(f"127.0.0.1:{free_port}"),
    ):
        pass


def test_without_ray_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from edge_mnist.system import ray_cluster\n"
        "with ray_cluster.session(None): pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Expected Ray, which is not installed; pip install 'edge-mnist[scale]'" in done.stderr
