"""The machine in; which runtimes work on it, and what to install, out."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

from ..bundle import find_artifacts
from ..errors import EdgeMnistError
from ..system.info import distribution_version
from ..system.install import HOST, extra
from .environment import environment
from .registry import RUNTIMES, Runtime
from .selection import choose


def diagnose() -> dict[str, Any]:
    """Return the environment, the state of every runtime, and the choice of `Classifier()`.

    `heif` and `host` are the versions of pillow-heif and edge-mnist-export; None without them.
    """
    runtimes = [_runtime(runtime) for runtime in RUNTIMES.values()]
    return {
        "environment": environment(),
        "runtimes": runtimes,
        "heif": distribution_version("pillow-heif"),
        "host": distribution_version("edge-mnist-export"),
        **_default_model(),
    }


def _runtime(runtime: Runtime) -> dict[str, Any]:
    """Import a runtime in a child process: some end it with an illegal instruction."""
    state: dict[str, Any] = {
        "backend": runtime.backend,
        "distribution": runtime.distribution,
        "version": distribution_version(runtime.distribution),
        "works": False,
        "advice": f"not installed; {runtime.no_wheel or runtime.install}",
    }
    if not runtime.installed:
        return state
    module = f"{__package__}.{runtime.backend}"
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False
    )
    state["works"] = done.returncode == 0
    remedy = runtime.no_wheel or runtime.install
    state["advice"] = None if state["works"] else f"{_reason(done)}; {remedy}"
    return state


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return why an import failed: the signal that ended it, or its last line."""
    if done.returncode < 0:
        # Some wheels of ONNX Runtime use instructions that a Raspberry Pi 3 or 4 lacks.
        name = signal.strsignal(-done.returncode) or f"signal {-done.returncode}"
        return f"its import dies here of: {name}"
    return (done.stderr.strip().splitlines() or [f"it died with status {done.returncode}"])[-1]


def _default_model() -> dict[str, Any]:
    """Return the file and runtime that `Classifier()` uses here, or the problem."""
    try:
        artifact, runtime = choose(find_artifacts())
    except EdgeMnistError as error:
        return {"uses": None, "problem": str(error)}
    return {"uses": {"file": artifact.path.name, "backend": runtime.backend}, "problem": None}


def text(diagnosis: dict[str, Any]) -> str:
    """Return a diagnosis for a terminal."""
    where = diagnosis["environment"]
    lines = [
        f"edge-mnist {where['edge_mnist']}, Python {where['python']}, numpy {where['numpy']}",
        f"{where['cpu']}, {where['cpus']} CPUs, {where['machine']}, {where['system']}",
        "",
    ]
    for runtime in diagnosis["runtimes"]:
        works = "works, for int8 files" if RUNTIMES[runtime["backend"]].int8_only else "works"
        state = works if runtime["works"] else runtime["advice"]
        lines.append(f"{runtime['backend']:<7} {runtime['version'] or '–':<8} {state}")
    heif = diagnosis["heif"]
    reader = "reads HEIC pictures" if heif else f"not installed; for HEIC pictures: {extra('heif')}"
    lines.append(f"heif    {heif or '–':<8} {reader}")
    host = diagnosis["host"] or f"not installed; {HOST}"
    lines += [f"host    {host}", ""]
    uses = diagnosis["uses"]
    lines.append(
        f"Classifier() uses {uses['file']} on {uses['backend']}."
        if uses
        else f"Classifier() cannot work here: {diagnosis['problem']}"
    )
    return "\n".join([*lines, *_numpy_alone(diagnosis["runtimes"])])


def _numpy_alone(states: list[dict[str, Any]]) -> list[str]:
    """Return what a machine lacks on which numpy alone works, and whether it can be had."""
    if [state["backend"] for state in states if state["works"]] != ["numpy"]:
        return []
    installs = [RUNTIMES[state["backend"]].install for state in states]
    advised = [i for i, s in zip(installs, states, strict=True) if i in (s["advice"] or "")]
    if advised:
        return [f"A runtime is faster, and runs float files too; install one with: {advised[0]}"]
    return ["No other runtime has a wheel for this machine. numpy runs int8 files only."]
