"""Real worker processes: groups, deaths, interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_mnist import backends
from edge_mnist.benchmark import runner, suite
from edge_mnist.benchmark.measurement import Job
from edge_mnist.benchmark.plan import make_plan
from edge_mnist.benchmark.text_report import as_text
from edge_mnist.bundle import find_artifacts
from edge_mnist.errors import ModelError
from tests.conftest import WHOLE
from tests.foreign_models.test_hostile import SPLIT, uncommon


def test_jobs_that_do_not_fit_into_memory_together_are_split_into_groups() -> None:
    (artifact, *_) = find_artifacts()
    jobs = [Job(artifact, backends.installed("tflite")[0], n) for n in range(1, 6)]

    def sizes(available_mb: float | None) -> list[int]:
        return [len(group) for group in runner.split_by_memory(jobs, available_mb=available_mb)]

    assert sizes(8000) == sizes(None) == [5]
    assert sizes(400) == [3, 2]
    assert sizes(350) == [2, 2, 1]
    assert sizes(50) == [2, 2, 1]


@pytest.mark.slow
def test_a_file_that_kills_its_worker_is_a_failed_row_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert, which crashes on this file")
    deadly = tmp_path / "deadly.tflite"
    deadly.write_bytes(uncommon((WHOLE / "model-float32.tflite").read_bytes(), SPLIT))
    sound = WHOLE / "model-int8.tflite"
    litert = backends.get("litert")
    jobs = [(find_artifacts(file)[0], litert, 1) for file in (deadly, sound)]
    plan = make_plan(runs=10, rows=2)
    shown: list[float] = []
    document = suite.run(jobs, plan=plan, show=lambda part, _: shown.append(part))
    assert [line["file"] for line in document["results"]] == ["model-int8.tflite"]
    (failed,) = document["failed"]
    assert (failed["file"], failed["error"]) == ("deadly.tflite", "its process died of SIGSEGV")
    assert "Failed: deadly.tflite on litert: its process died of SIGSEGV" in as_text(document)
    assert shown == sorted(shown)
    with pytest.raises(
        ModelError, match=r"to measure deadly.tflite on litert, got: its process died"
    ):
        suite.run(jobs[:1], plan=plan, show=lambda part, what: None)


@pytest.fixture
def long_benchmark(tmp_path: Path) -> Any:
    """A benchmark that would take a minute, and the ids of its worker processes."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("needs /proc to find the children of a process")
    command = Path(sys.executable).with_name("edge-mnist")
    process = subprocess.Popen(
        [command, "benchmark", WHOLE, "--duration", "60s", "--json", tmp_path / "x.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts a command in the background with Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    count = sum(len(backends.installed(a.format, a.precision)) for a in find_artifacts(WHOLE))
    wait_for(lambda: len(workers(process.pid)) == count and take_turns(process.pid))
    yield process, workers(process.pid)
    process.kill()
    process.communicate()


def workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children]


def take_turns(parent: int) -> bool:
    """Return whether every worker has used 0.8 processor seconds: it is loaded and warm."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in workers(parent)
    ]
    return all(int(f[11]) + int(f[12]) > 0.8 * ticks for f in fields)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_and_no_file(long_benchmark: Any, tmp_path: Path) -> None:
    process, started = long_benchmark
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    model, *rest = err.split("\n")
    assert model.startswith("Model: ")
    assert (out, "".join(rest)) == ("", "edge-mnist: error: interrupted")
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(long_benchmark: Any) -> None:
    process, started = long_benchmark
    process.kill()
    process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
