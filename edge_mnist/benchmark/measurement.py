"""Jobs, their measurements, and groups of them: the values between runner and document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..backends import Runtime
from ..bundle import Artifact
from ..system.machine import SensorReading
from .worker import STAGES


@dataclass(frozen=True)
class Job:
    """One row to measure: a model file, a runtime and a number of threads."""

    artifact: Artifact
    runtime: Runtime
    threads: int

    @property
    def name(self) -> str:
        """The job's name in progress and error messages."""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.artifact.name} on {self.runtime.backend}{threads}"


@dataclass
class Measurement:
    """The samples of one job, filled in while it is measured.

    Attributes:
        group: index of the group that took turns together.
        loaded: the worker's answer to the job, such as `load_ms`.
        warm_up: the worker's answer to its warm-up.
        starts_s: start of each turn, in seconds since the group's first turn.
        rounds: samples in nanoseconds of `predict` and of each stage, a list per turn.
        cpu_s: processor seconds of the worker since its warm-up.
        peak_rss_mb: the worker's peak resident size; None where unknown.
        error: why the job failed, if it did.
    """

    job: Job
    group: int
    loaded: dict[str, Any] = field(default_factory=dict)
    warm_up: dict[str, Any] = field(default_factory=dict)
    starts_s: list[float] = field(default_factory=list)
    rounds: dict[str, list[list[int]]] = field(
        default_factory=lambda: {name: [] for name in ("predict", *STAGES)}
    )
    cpu_s: float = 0.0
    peak_rss_mb: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Group:
    """Measurements that took turns with each other, and the machine's state meanwhile.

    Attributes:
        measurements: one per job, failed ones included.
        readings: (seconds since the first turn, sensor reading), in order.
        own_s: processor seconds that the benchmark used between the first and last reading.
        wall_s: seconds between the first and last reading.
    """

    measurements: list[Measurement]
    readings: list[tuple[float, SensorReading]]
    own_s: float
    wall_s: float
