"""What a measurement was taken on: processor, system, versions, load."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__, backends
from ..system import machine


def environment() -> dict[str, Any]:
    """Return what a reader needs in order to place, or repeat, a measurement."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "edge_mnist": __version__,
        "python": platform.python_version(),
        "numpy": distribution_version("numpy"),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpu_features": machine.cpu_features(),
        "cpus": usable_cpus(),
        "governor": machine.governor(),
        "memory_mb": memory_mb(),
        "cgroup": machine.cgroup_limits(),
        "runtimes": {
            runtime.distribution: distribution_version(runtime.distribution)
            for runtime in backends.installed()
        },
    }


def distribution_version(name: str) -> str | None:
    """Return an installed distribution's version, None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Return the board or processor name as the system gives it."""
    board = read_system_file("/proc/device-tree/model")
    if board:
        return board.rstrip("\0")
    for line in (read_system_file("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_mb() -> int | None:
    """Return the machine's memory in MB (10⁶ bytes), None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6
    except (AttributeError, ValueError, OSError):
        return None


def read_system_file(path: str) -> str | None:
    """Return a text file of the system's, None where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
