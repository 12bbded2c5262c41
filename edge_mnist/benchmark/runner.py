"""Drive the workers: start and load all, warm them up, and let them take turns.

Only one worker runs at any time; the others wait for a line on a pipe. The protocol stands in
`plan`, what each figure is of in `worker`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import backends
from ..bundle import Artifact
from ..errors import EdgeMnistError, ModelError
from ..system import machine
from ..system.info import memory_mb
from . import worker
from .plan import STABLE_VARIATION, STABLE_WINDOWS, WINDOW_S, Plan

# No worker is silent for so long: a turn or a window is of a few predictions where they are slow.
_SILENCE_S = 300.0
# What one worker takes at least, and how many are let be alive at once.
_WORKER_MB = 100
_MOST_WORKERS = 16
# Of a plan without a duration; and how many windows at most one with a duration is cut into.
_WINDOWS, _MOST_WINDOWS = 10, 30

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Job:
    """One row to be: a file, in a runtime, with so many threads."""

    artifact: Artifact
    runtime: backends.Runtime
    threads: int

    @property
    def name(self) -> str:
        """What it is called in messages."""
        many = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.artifact.name} on {self.runtime.backend}{many}"


@dataclass
class Track:
    """What was measured of one job so far.

    `rounds` are of each stage and `predict`, nanoseconds; `starts_s` says when each began.
    `error` says why it ended early.
    """

    job: Job
    group: int
    loaded: dict[str, Any] = field(default_factory=dict)
    warm_up: dict[str, Any] = field(default_factory=dict)
    starts_s: list[float] = field(default_factory=list)
    rounds: dict[str, list[list[int]]] = field(
        default_factory=lambda: {name: [] for name in ("predict", *worker.STAGES)}
    )
    cpu_s: float = 0.0
    peak_rss_mb: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Group:
    """The rows that took turns with each other, and the machine meanwhile.

    `readings` are the machine at times in seconds since the first turn; `own_s` and `wall_s` are
    processor and clock seconds between the first reading and the last.
    """

    tracks: list[Track]
    readings: list[tuple[float, machine.SensorReading]]
    own_s: float
    wall_s: float


class _Worker:
    """A worker process; a line to it is answered by a line."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", worker.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                encoding="utf-8",
                # The same modules are found, whatever this process has done to find them.
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                },
            )
        except OSError as error:
            self._said.close()
            raise ModelError(
                f"Expected to start a process for {job.name}, got: {error.strerror}."
            ) from error

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer.

        Raises:
            ModelError: the process refused, died, or was silent for too long and was ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(_SILENCE_S, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        finally:
            late = not watchdog.is_alive()
            watchdog.cancel()
        if not line.endswith("\n"):
            raise ModelError(f"no answer within {_SILENCE_S:.0f} s" if late else self._death())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ModelError(answer["error"])
        return answer

    def _death(self) -> str:
        """Return the last that the process said, or how it ended."""
        status = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        if status < 0 or not said:
            return f"its process died of {_signal(status)}"
        return said[-1][:300]

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            # What was left in the pipe cannot be written any more.
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


def _signal(status: int) -> str:
    import signal

    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"exit status {status}"


def groups(jobs: Sequence[Job], *, available_mb: float | None) -> list[list[Job]]:
    """Return the jobs in groups that fit into memory together: two at least, 16 at most.

    A worker is taken to need 100 MB, and three quarters of what is available may be used: a
    Raspberry Pi of 512 MB with 350 free gets two at a time.
    """
    fitting = _MOST_WORKERS if available_mb is None else int(0.75 * available_mb / _WORKER_MB)
    count = -(-len(jobs) // max(2, min(_MOST_WORKERS, fitting)))
    size = -(-len(jobs) // count)
    return [list(jobs[start : start + size]) for start in range(0, len(jobs), size)]


def measure(jobs: Sequence[Job], plan: Plan, *, show: Progress) -> list[Group]:
    """Measure every job; one that fails is left with its reason, and the others go on.

    `show` is told how much of the whole is done, in [0, 1], and what is being done.
    """
    total = memory_mb()
    available = machine.available_mb() or (total and total / 2)
    parts = groups(jobs, available_mb=available)
    done = []
    for number, part in enumerate(parts):
        before = sum(map(len, parts[:number]))

        def share(fraction: float, what: str, before: int = before, size: int = len(part)) -> None:
            show((before + fraction * size) / len(jobs), what)

        done.append(_measure_group(part, number, plan, len(part) / len(jobs), share))
    return done


def _measure_group(
    jobs: Sequence[Job], number: int, plan: Plan, share: float, show: Progress
) -> Group:
    tracks = [Track(job, number) for job in jobs]
    with contextlib.ExitStack() as stack:
        alive: list[tuple[Track, _Worker]] = []
        for index, track in enumerate(tracks):
            show(0.1 * index / len(tracks), f"load {track.job.name}")
            with _failing(track):
                process = stack.enter_context(contextlib.closing(_Worker(track.job)))
                track.loaded = process.ask(_job(track.job))
                alive.append((track, process))
        for index, (track, process) in enumerate(alive):
            show(0.1 + 0.1 * index / len(alive), f"warm up {track.job.name}")
            with _failing(track):
                track.warm_up = process.ask(_warm_up(plan))
        alive = [(track, process) for track, process in alive if not track.error]
        return _steady(tracks, alive, plan, share, lambda f, what: show(0.2 + 0.8 * f, what))


@contextlib.contextmanager
def _failing(track: Track) -> Iterator[None]:
    """Keep the reason of what fails."""
    try:
        yield
    except EdgeMnistError as error:
        track.error = str(error)


def _job(job: Job) -> dict[str, Any]:
    scaling = job.artifact.scaling and job.artifact.scaling._asdict()
    return {
        "file": os.fspath(job.artifact.file),
        "backend": job.runtime.backend,
        "threads": job.threads,
        "scaling": scaling,
    }


def _warm_up(plan: Plan) -> dict[str, Any]:
    return {
        "do": "warm_up",
        "window_ns": int(WINDOW_S * 1e9),
        "windows": STABLE_WINDOWS,
        "variation": STABLE_VARIATION,
        "most_ns": int(plan.warm_up_s * 1e9),
    }


def _steady(
    tracks: list[Track],
    alive: list[tuple[Track, _Worker]],
    plan: Plan,
    share: float,
    show: Progress,
) -> Group:
    """Let all take turns until the plan is fulfilled; the order is shuffled anew each round."""
    lasting_s = None if plan.duration_s is None else plan.duration_s * share
    shuffled, phase, number = random.Random(0), _Phase(lasting_s, plan.rounds), 0
    while alive and phase.part(number) < 1:
        for track, process in shuffled.sample(alive, len(alive)):
            show(phase.part(number), track.job.name)
            keep = plan.size(number, track.warm_up["pace_ns"] / 1e9)
            with _failing(track):
                _turn(track, process, keep, plan.turn_s, phase.now_s())
        alive = [(track, process) for track, process in alive if not track.error]
        number += 1
        phase.look(phase.part(number))
    return phase.group(tracks)


def _turn(track: Track, worker: _Worker, keep: int, load_s: float, start_s: float) -> None:
    answer = worker.ask({"do": "turn", "keep": keep, "least_ns": int(load_s / 2 * 1e9)})
    track.starts_s.append(round(start_s, 3))
    for name, samples in answer["samples_ns"].items():
        track.rounds[name].append(samples)
    track.cpu_s = answer["cpu_s"] - track.warm_up["cpu_s"]
    track.peak_rss_mb = answer["peak_rss_mb"]


class _Phase:
    """The time in which all take turns, by rounds or by the clock, and the machine meanwhile."""

    def __init__(self, lasting_s: float | None, rounds: int) -> None:
        self._lasting_s, self._rounds = lasting_s, rounds
        self._windows = windows(rounds, lasting=lasting_s is not None)
        self._start, self._cpu_s = time.perf_counter(), time.process_time()
        self._readings = [(0.0, machine.read_sensors())]

    def now_s(self) -> float:
        """Return the seconds since it began."""
        return time.perf_counter() - self._start

    def part(self, number: int) -> float:
        """Return how much of it is over after so many rounds; 1 at its end."""
        if self._lasting_s is None:
            return number / self._rounds
        return min(1.0, self.now_s() / self._lasting_s)

    def look(self, part: float) -> None:
        """Read the machine once a window."""
        if part * self._windows >= len(self._readings):
            self._readings.append((round(self.now_s(), 3), machine.read_sensors()))

    def group(self, tracks: list[Track]) -> Group:
        """Return all that was measured."""
        wall_s, last = self.now_s(), machine.read_sensors()
        own_s = time.process_time() - self._cpu_s + sum(track.cpu_s for track in tracks)
        return Group(tracks, [*self._readings, (round(wall_s, 3), last)], own_s, wall_s)


def windows(rounds: int, *, lasting: bool) -> int:
    """Return how many windows a measurement of so many rounds is cut into: 30 at most.

    Each holds three rounds and more, or there would be windows without any of some row.
    """
    return max(1, min(_MOST_WINDOWS if lasting else _WINDOWS, rounds // 3))
