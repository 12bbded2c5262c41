"""Drive the worker processes: jobs and a plan in, groups of measurements out.

Workers are started and loaded, warmed up, and then take turns in rounds. Only one works at any
time; the others wait for a request. docs/benchmark.md describes the protocol.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..errors import EdgeMnistError
from ..system import machine
from ..system.info import memory_mb
from .measurement import Group, Job, Measurement
from .plan import STABLE_VARIATION, STABLE_WINDOWS, WINDOW_S, Plan
from .worker import packed
from .worker_process import WorkerProcess

# MB that a worker is assumed to need (50 to 70 were measured), the share of available memory that
# all may use, and how many may be alive.
_WORKER_MB = 100
_MEMORY_SHARE = 0.75
_MAX_WORKERS = 16

Progress = Callable[[float, str], None]
_Running = list[tuple[Measurement, WorkerProcess]]


def measure(jobs: Sequence[Job], plan: Plan, *, show: Progress) -> list[Group]:
    """Measure every job. A job that fails keeps its error, and the others go on.

    `show` is called with the share of the work that is done, in [0, 1], and the current step.
    """
    total = memory_mb()
    groups: list[Group] = []
    start = 0.0
    for part in split_by_memory(jobs, available_mb=machine.available_mb() or (total and total / 2)):
        share = len(part) / len(jobs)
        duration_s = None if plan.duration_s is None else plan.duration_s * share
        own_plan = replace(plan, duration_s=duration_s)
        groups.append(_measure_group(part, len(groups), own_plan, _within(show, start, share)))
        start += share
    return groups


def split_by_memory(jobs: Sequence[Job], *, available_mb: float | None) -> list[list[Job]]:
    """Return the jobs in groups of 2 to 16 whose workers fit into memory together."""
    fitting = _MAX_WORKERS
    if available_mb is not None:
        fitting = min(_MAX_WORKERS, int(_MEMORY_SHARE * available_mb / _WORKER_MB))
    count = -(-len(jobs) // max(2, fitting))
    size = -(-len(jobs) // count)
    return [list(jobs[start : start + size]) for start in range(0, len(jobs), size)]


def _within(show: Progress, start: float, share: float) -> Progress:
    """Return a progress function of a part of the work, which begins at `start`."""
    return lambda fraction, step: show(start + share * fraction, step)


def _measure_group(jobs: Sequence[Job], number: int, plan: Plan, show: Progress) -> Group:
    measurements = [Measurement(job, number) for job in jobs]
    with contextlib.ExitStack() as stack:
        running: _Running = []
        for index, measurement in enumerate(measurements):
            show(0.1 * index / len(jobs), f"load {measurement.job.name}")
            with _keeping_error(measurement):
                job = measurement.job
                process = WorkerProcess(job.name, threads=job.threads)
                worker = stack.enter_context(contextlib.closing(process))
                measurement.loaded = worker.ask(_load_request(measurement.job))
                running.append((measurement, worker))
        for index, (measurement, worker) in enumerate(running):
            show(0.1 + 0.1 * index / len(running), f"warm up {measurement.job.name}")
            with _keeping_error(measurement):
                measurement.warm_up = worker.ask(_warm_up_request(plan))
        return _take_turns(measurements, _alive(running), plan, _within(show, 0.2, 0.8))


@contextlib.contextmanager
def _keeping_error(measurement: Measurement) -> Iterator[None]:
    try:
        yield
    except EdgeMnistError as error:
        measurement.error = str(error)


def _alive(running: _Running) -> _Running:
    return [(measurement, worker) for measurement, worker in running if not measurement.error]


def _load_request(job: Job) -> dict[str, Any]:
    return {
        "artifact": packed(job.artifact),
        "backend": job.runtime.backend,
        "threads": job.threads,
    }


def _warm_up_request(plan: Plan) -> dict[str, Any]:
    return {
        "do": "warm_up",
        "window_ns": int(WINDOW_S * 1e9),
        "windows": STABLE_WINDOWS,
        "max_variation": STABLE_VARIATION,
        "max_ns": int(plan.warm_up_s * 1e9),
    }


def _take_turns(
    measurements: list[Measurement], running: _Running, plan: Plan, show: Progress
) -> Group:
    """Run rounds until the plan is fulfilled; every round has its own random order."""
    order, phase, number = random.Random(0), _Phase(plan), 0
    while running and phase.done(number) < 1:
        for measurement, worker in order.sample(running, len(running)):
            show(phase.done(number), measurement.job.name)
            keep = plan.samples(number, measurement.warm_up["latency_ns"] / 1e9)
            with _keeping_error(measurement):
                _take_turn(measurement, worker, keep, plan.turn_s, phase.now_s())
        running = _alive(running)
        number += 1
        phase.read_sensors(number)
    return phase.group(measurements)


def _take_turn(
    measurement: Measurement, worker: WorkerProcess, keep: int, turn_s: float, start_s: float
) -> None:
    answer = worker.ask({"do": "turn", "keep": keep, "min_ns": int(turn_s / 2 * 1e9)})
    measurement.starts_s.append(round(start_s, 3))
    for name, samples in answer["samples_ns"].items():
        measurement.rounds[name].append(samples)
    measurement.cpu_s = answer["cpu_s"] - measurement.warm_up["cpu_s"]
    measurement.peak_rss_mb = answer["peak_rss_mb"]


class _Phase:
    """The time in which a group takes turns, and the sensor readings of that time."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._windows = plan, plan.windows(plan.rounds)
        self._start, self._cpu_s = time.perf_counter(), time.process_time()
        self._readings = [(0.0, machine.read_sensors())]

    def now_s(self) -> float:
        """Return the seconds since the phase began."""
        return time.perf_counter() - self._start

    def done(self, rounds: int) -> float:
        """Return the share that is done after `rounds` rounds, in [0, 1]."""
        if self._plan.duration_s is None:
            return rounds / self._plan.rounds
        return min(1.0, self.now_s() / self._plan.duration_s)

    def read_sensors(self, rounds: int) -> None:
        """Read the machine's sensors, once a window."""
        if self.done(rounds) * self._windows >= len(self._readings):
            self._readings.append((round(self.now_s(), 3), machine.read_sensors()))

    def group(self, measurements: list[Measurement]) -> Group:
        """End the phase and return its group."""
        wall_s, last = self.now_s(), machine.read_sensors()
        own_s = time.process_time() - self._cpu_s + sum(m.cpu_s for m in measurements)
        return Group(measurements, [*self._readings, (round(wall_s, 3), last)], own_s, wall_s)
