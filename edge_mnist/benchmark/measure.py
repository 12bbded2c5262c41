"""Time one model file in one runtime, in a process of its own.

A process apart makes the first prediction a first one and the peak memory the model's own.
Run as a program, this module reads a job from its arguments and prints the result as JSON.

- `load_ms`: read and check the file, create the session. Importing the runtime is not in it.
- `first_us`: the first `predict`, with whatever the runtime puts off until then.
- `invoke_us`: the runtime alone, from an input in its own dtype to its raw output.
- `predict_us`: `Classifier.predict` of a (28, 28) uint8 array, or of the model's own size, from
  pixels to `Prediction`.
- `peak_rss_mb`: the process's largest resident size, the interpreter and numpy included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from .. import backends
from ..bundle import Artifact
from ..errors import EdgeMnistError, ModelError
from .environment import load_per_cpu, read_system_file

WARM_UP = 50
# Where the middle half of the samples spreads over more than this, the median is in doubt.
_SPREAD = 0.10


def measure(
    artifact: Artifact, runtime: backends.Runtime, *, threads: int, runs: int
) -> dict[str, Any]:
    """Return one result row, measured in a fresh process.

    Raises:
        ModelError: the process failed or died; the message ends with what it said last.
    """
    busy = load_per_cpu()
    scaling = json.dumps(artifact.scaling and artifact.scaling._asdict())
    job = [str(artifact.path), artifact.format, runtime.backend, str(threads), str(runs), scaling]
    done = subprocess.run(
        [sys.executable, "-m", __name__, *job], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ModelError(f"Expected to measure {artifact.path.name} on {runtime.backend}: {last}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    row["tainted"] = _taints(row, busy)
    return row


def summary(samples_ns: list[int]) -> dict[str, float]:
    """Return count, mean and percentiles in microseconds (linear interpolation, as numpy's)."""
    import numpy as np

    samples = np.asarray(samples_ns) / 1000
    p50, p90, p99 = (round(float(p), 2) for p in np.percentile(samples, (50, 90, 99)))
    return {
        "n": len(samples_ns),
        "mean": round(float(samples.mean()), 2),
        "p50": p50,
        "p90": p90,
        "p99": p99,
    }


def _taints(row: dict[str, Any], busy: float | None) -> list[str]:
    reasons = []
    spread = row["predict_us"]["p90"] / row["predict_us"]["p50"] - 1
    if spread > _SPREAD:
        reasons.append(f"spread: p90 is {spread:.0%} over the median")
    if busy is not None and busy > 0.5:
        reasons.append(f"busy: load average {busy:.1f} per processor before the run")
    return reasons


def _sample(call: Callable[[], object], runs: int) -> list[int]:
    """Return the duration of each of `runs` calls in nanoseconds."""
    clock = time.perf_counter_ns
    samples = [0] * runs
    for run in range(runs):
        start = clock()
        call()
        samples[run] = clock() - start
    return samples


def _run(
    path: str, format: str, backend: str, threads: int, runs: int, given: dict[str, Any]
) -> dict[str, Any]:
    import importlib

    import numpy as np

    from ..bundle import find_artifacts
    from ..classifier import Classifier
    from ..contract import Scaling

    artifact = find_artifacts(path, scaling=Scaling.given(**given))[0]
    runtime = backends.get(backend)
    # This process is the one that a model may end.
    importlib.import_module(f"{backends.__name__}._bare").here = True  # type: ignore[attr-defined]
    importlib.import_module(f"{backends.__name__}.{backend}")
    start = time.perf_counter_ns()
    classifier = Classifier.from_artifact(artifact, runtime, threads=threads)
    load_ns = time.perf_counter_ns() - start
    # What the pixels are does not change the time of these models; a seed makes it repeatable.
    image = np.random.default_rng(0).integers(0, 256, classifier.contract.shape, np.uint8)
    (first_ns,) = _sample(lambda: classifier.predict(image), 1)
    encoded, session = classifier.encode(image[np.newaxis]), classifier.session
    _sample(lambda: classifier.predict(image), WARM_UP)
    # In turn, so that drift hits both alike.
    invoke: list[int] = []
    predict: list[int] = []
    step = -(-runs // 10)
    for done in range(0, runs, step):
        invoke += _sample(lambda: session.run(encoded), min(step, runs - done))
        predict += _sample(lambda: classifier.predict(image), min(step, runs - done))
    return {
        "file": artifact.path.name,
        "format": format,
        "precision": artifact.precision,
        "sha256": artifact.sha256,
        "backend": backend,
        "threads": threads,
        "batch": 1,
        "load_ms": round(load_ns / 1e6, 3),
        "first_us": round(first_ns / 1e3, 2),
        "invoke_us": summary(invoke),
        "predict_us": summary(predict),
        "peak_rss_mb": _peak_rss_mb(),
    }


def _peak_rss_mb() -> float | None:
    """Return this process's peak resident size in MB (10⁶ bytes), None where it is not told."""
    # Linux's ru_maxrss would not do: it begins with that of the process that started this one.
    for line in (read_system_file("/proc/self/status") or "").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    if sys.platform != "darwin":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)


def _main(arguments: list[str]) -> None:
    path, format, backend, threads, runs, scaling = arguments
    try:
        row = _run(path, format, backend, int(threads), int(runs), json.loads(scaling) or {})
    except EdgeMnistError as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
