"""The address of a Ray cluster, or none, in; Ray connected to it, or running on this machine, out.

Ray is an engine for work on many processors and machines: https://docs.ray.io. It comes with the
extra `scale`, and is imported late.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from ..errors import ClusterError
from .install import extra

_ENVIRONMENT = {
    # Ray would report its use to its makers.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Under `uv run`, Ray would copy the current folder and install an environment for each worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
# Seconds. Without a cluster at the address, Ray itself would wait for two minutes.
_CONNECT_TIMEOUT_S = 5
# Bytes of shared memory on this machine. What we pass between processes is small.
_OBJECT_STORE_BYTES = 256 << 20


@contextlib.contextmanager
def session(address: str | None, *, cpus: int | None = None) -> Iterator[Any]:
    """Yield the module `ray`, connected; disconnect at the end.

    Args:
        address: `auto` for the cluster that this machine belongs to, HOST:PORT, or None to start
            Ray on this machine, for this process alone.
        cpus: the processors that Ray may use where it is started here; None for all.

    Raises:
        ClusterError: Ray is not installed, or no cluster answers at the address.
    """
    ray = load_ray()
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    if address is None:
        here = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        # "local": else RAY_ADDRESS would name a cluster.
        ray.init("local", num_cpus=cpus, **here, **quiet)
    else:
        _connect(ray, address, quiet)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray would print a stack and exit.
    try:
        yield ray
    finally:
        ray.shutdown()


def load_ray() -> Any:
    """Import Ray and return it.

    Raises:
        ClusterError: it is not installed.
    """
    os.environ.update(_ENVIRONMENT)
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ClusterError(
            f"Expected Ray, which is not installed; {extra('scale')}", code="cluster-ray"
        ) from error
    return ray


def _connect(ray: Any, address: str, options: dict[str, Any]) -> None:
    try:
        if address != "auto":
            _try_address(address)
        ray.init(address, **options)
    # Ray exits where something else than Ray listens.
    except (ConnectionError, OSError, RuntimeError, ValueError, SystemExit) as error:
        raise ClusterError(
            f"Expected a Ray cluster at {address}, got no answer; start one with `ray start "
            f"--head`, and give auto on one of its machines, or HOST:PORT.",
            code="cluster-address",
        ) from error


def _try_address(address: str) -> None:
    """Open a connection and close it, so that a wrong address fails at once."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
