"""A command in a process of its own, with a fault; how it ended."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .commands import Command, Place

SHIM = Path(__file__).with_name("shim.c")
TIMEOUT_S = 600
# Until `main` runs, a signal ends this process without a traceback.
_COLD = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.environ["FAULT_PID"] = str(os.getpid())
"""
_MIRROR = "from edge_mnist.datasets import download\ndownload.MIRRORS = {!r},\n"


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: the exit status, or minus the number of a signal.
        said: the lines on stderr.
        seconds: of its life.
        calls: the system calls that changed something in its folders; 0 if it was killed.
    """

    status: int
    said: tuple[str, ...]
    seconds: float
    calls: int = 0


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        number: a signal that is sent, or 0.
        after_s: the instant at which it is sent; None for before a system call.
        call: the number of the system call that is faulty.
        errno: the error of that call, or 0.
        once: only that call fails, and not all later ones.
        under: the folders whose changes are counted, relative to the place.
        cold: a new Python, instead of a copy of this process, which has imported everything.
        user: the user's number, if not the one of this process.
        env: further environment variables.
    """

    number: int = 0
    after_s: float | None = None
    call: int = 0
    errno: int = 0
    once: bool = False
    under: tuple[str, ...] = ("work", "home", "tmp")
    cold: bool = False
    user: int | None = None
    env: Mapping[str, str] | None = None

    def __str__(self) -> str:
        kind = signal.Signals(self.number).name if self.number else ""
        if self.errno:
            kind = f"{os.strerror(self.errno)} in {','.join(self.under)}"
            kind += " once" if self.once else " from"
        where = f"after {self.after_s:.3f} s" if self.after_s is not None else f"call {self.call}"
        return f"{kind} {where}{' cold' if self.cold else ''}"


def build_shim(folder: Path) -> Path | None:
    """Compile the faults of system calls; None without a compiler."""
    out = folder / "shim.so"
    for compiler in (["gcc"], ["cc"], [sys.executable, "-m", "ziglang", "cc"]):
        options = ["-shared", "-fPIC", "-O2", str(SHIM), "-o", str(out), "-ldl"]
        with contextlib.suppress(OSError):
            if not subprocess.run([*compiler, *options], check=False).returncode:
                return out
    return None


def import_everything() -> None:
    """Import what the commands import: a copy of this process then begins at their work.

    TensorFlow survives a fork as long as no operation has run.
    """
    from edge_mnist.cli import group  # noqa: F401
    from edge_mnist_export import frameworks

    frameworks.load_keras("tensorflow")
    for module in (
        "edge_mnist_export.commands.train",
        "edge_mnist_export.commands.export",
        "edge_mnist_export.training.loop",
        "edge_mnist_export.pipeline",
        "edge_mnist_export.conversion.tflite",
        "edge_mnist_export.conversion.onnx",
        "edge_mnist.benchmark.suite",
        "edge_mnist.inspection.report",
        "edge_mnist.inspection.html_report",
        "onnxruntime",
        "ai_edge_litert.interpreter",
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
    ):
        __import__(module)


def run(command: Command, place: Place, fault: Fault, *, mirror: str | None = None) -> Ended:
    """Run a command with a fault, and wait for its end."""
    env = _environment(place, fault)
    said, count = place.root / "stderr", place.root / "count"
    count.unlink(missing_ok=True)
    start = time.monotonic()
    with said.open("wb") as stderr, (place.root / "stdout").open("wb") as stdout:
        streams = stdout.fileno(), stderr.fileno()
        starting = _start_cold if fault.cold else _start_copy
        pid = starting(command.arguments, place, env, streams, mirror, fault.user)
    timers = [threading.Timer(TIMEOUT_S, _kill, (pid, signal.SIGKILL))]
    if fault.after_s is not None:
        timers.append(threading.Timer(fault.after_s, _kill, (pid, fault.number)))
    for timer in timers:
        timer.daemon = True
        timer.start()
    _, status = os.waitpid(pid, 0)
    for timer in timers:
        timer.cancel()
    seconds = time.monotonic() - start
    lines = tuple(line for line in said.read_text(errors="replace").splitlines() if line.strip())
    calls = int(count.read_text() or 0) if count.exists() else 0
    for name in ("stderr", "stdout", "count"):
        (place.root / name).unlink(missing_ok=True)
    return Ended(os.waitstatus_to_exitcode(status), lines, seconds, calls)


def _environment(place: Place, fault: Fault) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_MNIST")}
    env |= {"HOME": str(place.home), "TMPDIR": str(place.temporary)}
    env["XDG_CACHE_HOME"] = str(place.home / ".cache")
    env["FAULT_UNDER"] = ":".join(str(place.root / name) for name in fault.under)
    env["FAULT_COUNT"] = str(place.root / "count")
    if fault.after_s is None:
        env |= {"FAULT_WHEN": str(fault.call), "FAULT_SIGNAL": str(fault.number)}
    env["FAULT_ERRNO"] = str(fault.errno)
    if fault.once:
        env["FAULT_ONCE"] = "1"
    return env | dict(fault.env or {})


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _start_cold(
    arguments: Sequence[str],
    place: Place,
    env: Mapping[str, str],
    streams: tuple[int, int],
    mirror: str | None,
    user: int | None,
) -> int:
    program = _COLD
    if mirror:
        program += _MIRROR.format(mirror)
    program += "from edge_mnist.cli import main\nmain()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=place.work,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=streams[0],
        stderr=streams[1],
        user=user,
    )
    process.returncode = 0  # Whoever waits here is `run`.
    return process.pid


def _start_copy(
    arguments: Sequence[str],
    place: Place,
    env: Mapping[str, str],
    streams: tuple[int, int],
    mirror: str | None,
    user: int | None,
) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        status = _be_the_command(arguments, place, env, streams, mirror, user)
    finally:
        os._exit(status)


def _be_the_command(
    arguments: Sequence[str],
    place: Place,
    env: Mapping[str, str],
    streams: tuple[int, int],
    mirror: str | None,
    user: int | None,
) -> int:
    os.environ.clear()
    os.environ.update(env)
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    os.chdir(place.work)
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir = None
    sys.argv = ["edge-mnist", *arguments]
    if mirror:
        from edge_mnist.datasets import download

        download.MIRRORS = (mirror,)
    from edge_mnist.cli import main

    atexit._clear()  # type: ignore[attr-defined]  # what this process's parent registered
    os.environ["FAULT_PID"] = str(os.getpid())
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0
    except BaseException:  # noqa: BLE001 - as the interpreter does
        import traceback

        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError):
        atexit._run_exitfuncs()  # type: ignore[attr-defined]
        sys.stdout.flush()
    _report_calls()
    return status


def _report_calls() -> None:
    """Write the count as the end of the process would, which `os._exit` leaves out."""
    import ctypes

    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).fault_report()
