"""The environment of a measurement: processor, system, versions."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import Any

from ..system import machine
from ..system.info import cpu_model, distribution_version, memory_mb, usable_cpus
from ..system.version import __version__
from .registry import installed


def environment() -> dict[str, Any]:
    """Return the facts that a reader needs to compare or to repeat a measurement."""
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
            for runtime in installed()
        },
    }
