"""What `Classifier` costs beside the shortest hand-written code: hot, and from cold."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier, backends
from edge_mnist.datasets import synthetic
from tests.classifier import hand_written
from tests.conftest import SHIPPED

BACKENDS = [runtime.backend for runtime in backends.installed()]
# Runtimes of their own packages, which a user could call by hand.
PACKAGES = [backend for backend in BACKENDS if backend != "numpy"]
BLANK = "import numpy; from edge_mnist import Classifier; "


def file_for(backend: str) -> str:
    return str(SHIPPED / f"model-int8.{backends.RUNTIMES[backend].format}")


def microseconds(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the least time of a call among rounds in turn: what nothing else has disturbed."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(400):
        for name, call in calls.items():
            start = time.perf_counter_ns()
            for _ in range(50):
                call()
            samples[name].append((time.perf_counter_ns() - start) / 50e3)
    return {name: min(times) for name, times in samples.items()}


@pytest.mark.timing
@pytest.mark.parametrize("backend", [*BACKENDS, *(["onnx_bound"] if "onnx" in BACKENDS else [])])
def test_a_prediction_costs_at_most_5_percent_more_than_the_shortest_loop(backend: str) -> None:
    image = synthetic.draw(np.array([3]), seed=5)[0]
    ours = backend.removesuffix("_bound")
    by_hand = hand_written.load(backend, file_for(ours))
    classifier = Classifier(SHIPPED, backend=ours)
    assert classifier.predict(image).digit == by_hand(image)
    calls = {"hand": lambda: by_hand(image), "ours": lambda: classifier.predict(image)}
    least = microseconds(calls)
    for _ in range(15):  # another process may be in the way for seconds
        if least["ours"] / least["hand"] <= 1.05:
            return
        again = microseconds(calls)
        least = {name: min(least[name], again[name]) for name in calls}
    pytest.fail(f"{least['ours']:.1f} µs, by hand {least['hand']:.1f}")


@pytest.mark.timing
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_beats_one_by_one(backend: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
    classifier = Classifier(SHIPPED, backend=backend)
    calls = {
        "one by one": lambda: [
            # Not `digit`: predict may refuse what predict_batch does not.
            int(classifier.predict(image).probabilities.argmax())
            for image in images
        ],
        "batch": lambda: classifier.predict_batch(images),
    }
    assert calls["batch"]().tolist() == calls["one by one"]()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(25):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    assert statistics.median(seconds["batch"]) < statistics.median(seconds["one by one"])


def loaded(code: str) -> set[str]:
    """Return the modules that a fresh process has loaded after `code`."""
    listing = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_loads_next_to_nothing() -> None:
    numpy = loaded("import numpy")
    light = {"", ".errors", ".preprocess"}
    expected = {"__future__", *(f"edge_mnist{name}" for name in light)}
    assert loaded("import numpy, edge_mnist") - numpy == expected
    more = loaded("import numpy; from edge_mnist import Classifier") - numpy
    # Of other packages nothing but the scanner of JSON: neither json nor threading.
    assert {name for name in more if not name.startswith("edge_mnist")} <= {"__future__", "_json"}
    rooms = {name.split(".")[1] for name in more if name.startswith("edge_mnist.")}
    assert rooms == {"backends", "bundle", "classifier", "errors", "preprocess", "system"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_classifier_loads_only_its_runtime(backend: str) -> None:
    module = backends.RUNTIMES[backend].module
    runtime = loaded(f"import numpy, {module}{'.interpreter' * (backend in ('litert', 'tflite'))}")
    code = f"{BLANK}Classifier(backend={backend!r}).predict(numpy.zeros((28, 28), 'uint8'))"
    more = {name for name in loaded(code) - runtime if not name.startswith("edge_mnist")}
    # Without a runtime, this package reads the file itself.
    reader = {"dataclasses"} if backend == "numpy" else set()
    avoided = {"PIL", "hashlib", "pathlib", "email", "zipfile", "dataclasses", "click"}
    assert not more & (avoided - reader)
    others = {r.module for r in backends.RUNTIMES.values()} - {module}
    assert not others & {name.partition(".")[0] for name in more}


def cold(code: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return seconds of processor and peak memory in MB of a process.

    By the clock, a second test process on two cores decides the outcome.
    """
    process = subprocess.Popen(
        [sys.executable, *code], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="needs ru_maxrss in kilobytes")
@pytest.mark.parametrize("backend", PACKAGES)
def test_from_cold_15_percent_and_5_mb_at_most(backend: str, tmp_path: Path) -> None:
    # Compiled as on a device: an installed package's modules are compiled once. OpenBLAS would
    # start a thread a core, whose time says nothing of either program.
    env = {
        **os.environ,
        "PYTHONPYCACHEPREFIX": str(tmp_path),
        "OPENBLAS_NUM_THREADS": "1",
    }
    ours = f"{BLANK}print(Classifier({str(SHIPPED)!r}, backend={backend!r})"
    programs = {
        "hand": [hand_written.__file__, backend, file_for(backend)],
        "ours": ["-c", f"{ours}.predict(numpy.zeros((28, 28), 'uint8')).digit)"],
    }
    for program in programs.values():
        cold(program, env)
    ratios = []
    for _ in range(5):  # other programs, or other machines on the same processor, may be in the way
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for _ in range(12):
            for name, program in programs.items():
                runs[name].append(cold(program, env))
        seconds = {name: statistics.median(s for s, _ in pairs) for name, pairs in runs.items()}
        memory = {name: statistics.median(m for _, m in pairs) for name, pairs in runs.items()}
        ratios.append(seconds["ours"] / seconds["hand"])
        if ratios[-1] <= 1.15:
            break
    # Between 7 and 11 % on the processors measured so far.
    assert min(ratios) <= 1.15, ratios
    assert memory["ours"] <= memory["hand"] + 5, memory
