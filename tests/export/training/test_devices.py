"""Training on several devices of a CPU, and in two processes that talk through loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_mnist.system.info import usable_cpus
from edge_mnist_export.training.processes import Job, find_job
from tests.conftest import Cli
from tests.errors import assert_error, raises
from tests.export.conftest import TINY, history, record

COMMAND = Path(sys.executable).with_name("edge-mnist")
DIVIDED = "--xla_force_host_platform_device_count=3"


def job(addresses: str | None, count: str | None, number: str | None) -> dict[str, str]:
    """Return the environment of one process of a job."""
    names = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
    values = zip(names, (addresses, count, number), strict=True)
    return {f"KERAS_DISTRIBUTION_{name}": value for name, value in values if value is not None}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*job("", "", ""), "TF_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "details"),
    [
        (job("a:1", None, "0"), ["no KERAS_DISTRIBUTION_NUM_PROCESSES"]),
        (job(None, "2", None), ["no KERAS_DISTRIBUTION_JOB_ADDRESSES and no"]),
        (job("a:1", "two", "0"), ["KERAS_DISTRIBUTION_NUM_PROCESSES to be a whole", "'two'"]),
        (job("a:1", "2", "-1"), ["KERAS_DISTRIBUTION_PROCESS_ID to be a whole", "'-1'"]),
        (job("a:1", "2", "2"), ["2 with 2 processes"]),
        (job("a:1", "0", "0"), ["0 with 0 processes"]),
        (job("a", "2", "0"), ["HOST:PORT", "'a' with 2 processes"]),
        (job("a:0", "2", "0"), ["HOST:PORT"]),
        (job("a:70000", "2", "0"), ["HOST:PORT"]),
        (job("a:1,b:1", "3", "0"), ["'a:1,b:1' with 3 processes"]),
    ],
)
def test_a_bad_environment_is_one_clear_line(
    environment: pytest.MonkeyPatch, variables: dict[str, str], details: list[str]
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    with raises("host-processes-environment", *details):
        find_job("jax")


@pytest.mark.parametrize("addresses", ["a:1", "a:1,b:2"])
def test_the_environment_describes_a_job(environment: pytest.MonkeyPatch, addresses: str) -> None:
    assert find_job("jax") == find_job("tensorflow") == Job(1, 0)
    for name, value in job(addresses, "2", "1").items():
        environment.setenv(name, value)
    found = find_job("jax")
    assert (found.count, found.number, found.coordinator, found.first) == (2, 1, "a:1", False)
    with raises("host-processes-tensorflow", "got 2 by KERAS_DISTRIBUTION_NUM_PROCESSES"):
        find_job("tensorflow")


def test_workers_of_tensorflow_are_refused(environment: pytest.MonkeyPatch) -> None:
    workers = '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"index": 0}}'
    environment.setenv("TF_CONFIG", workers)
    with raises("host-processes-tensorflow", "got 2 by TF_CONFIG", "KERAS_BACKEND=jax"):
        find_job("tensorflow")
    assert find_job("jax") == Job()
    for other in ('{"cluster": {"worker": ["a:1"]}}', "{}", "[]", "broken"):
        environment.setenv("TF_CONFIG", other)
        assert find_job("tensorflow") == Job()


@pytest.mark.slow
@pytest.mark.train
def test_more_devices_than_there_are(host: Cli, tmp_path: Path) -> None:
    done = host("train", *TINY, "--devices", "1000", "--out", tmp_path / "run", status=2)
    assert_error(done, "host-devices-few", "which tensorflow sees here", "got 1000")
    assert not (tmp_path / "run").exists()


# A gradient is a sum over the batch and the positions of a convolution, n = 25,000 terms. Summed in
# another order it differs by about sqrt(n) * 2^-24 = 1e-5 of its size. TensorFlow's statistics over
# devices are E(x^2) - E(x)^2, which loses a factor E(x^2) / Var(x), here about 10. Found were 3e-6
# with JAX and 9e-5 with TensorFlow.
TOLERANCE = {"jax": 2e-5, "tensorflow": 5e-4}
SIDE_BY_SIDE = """
import sys, keras, numpy as np
from edge_mnist import HostError
from edge_mnist_export.runs import Recipe
from edge_mnist_export.training import architectures, devices, epochs, optimizers
from edge_mnist.system.info import usable_cpus
from edge_mnist_export.training.processes import Job
backend, tolerance = keras.backend.backend(), float(sys.argv[1])
if backend == "tensorflow":
    import tensorflow as tf
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (171, 28, 28)).astype(np.uint8)
labels = rng.integers(0, 10, 171).astype(np.uint8)
recipe = Recipe("pico", "relu", "own", "sparse", False, epochs=1, seed=0, backend=backend)
seen = []

class Batches(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        seen.append((batch, int(self.model.optimizer.iterations), logs))

def train(count, images, callbacks=None):
    keras.utils.set_random_seed(0)
    model = architectures.build("pico")
    model.compile(optimizers.build("adam", 1e-3, 0.1), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    found = devices.find(backend, count, 128, Job())
    hooks = callbacks and keras.callbacks.CallbackList(callbacks, model=model)
    fit = epochs.fit_function(model, recipe, lambda fraction: None, hooks, found)
    row = fit(images, labels[:len(images)])
    return row, {v.path.partition("/")[2]: np.asarray(v.value)
                 for v in (*model.variables, *model.optimizer.variables)}

# Two steps: 128 images, then 43, which two devices cannot share evenly.
(row, one), (other, two) = train(1, images), train(2, images, [Batches()])
assert one.keys() == two.keys()
for name in row:
    assert abs(row[name] - other[name]) < 1e-5, (row, other)
for name, value in one.items():
    if "momentum" in name or "moving" in name:  # Adam's mean of the gradients; batch statistics
        difference = np.abs(two[name] - value).max()
        assert difference <= tolerance * np.abs(value).max(), (name, difference)
assert [entry[:2] for entry in seen] == [(0, 1), (1, 2)], seen
assert devices.find(backend, None, 128, Job()).count == 1
for count, code in ((3, "host-devices-batch"), (4, "host-devices-few")):
    try:
        devices.find(backend, count, 128, Job())
    except HostError as error:
        assert error.code == code, error
        print(error)
"""


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_train_as_one_does(backend: str) -> None:
    pytest.importorskip(backend, reason=f"needs {backend}: pip install {backend}")
    done = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE, str(TOLERANCE[backend])],
        env={**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": DIVIDED},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    batch, few = done.stdout.splitlines()
    assert "got 3; give one of 1, 2." in batch
    assert ("XLA_FLAGS" in few) == (backend == "jax")


LONG = (*TINY, "--limit", "600", "--epochs", "6", "--arch", "pico")


def port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def two_processes(out: Path, *options: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Train in two processes, of which the second one has a working folder of its own."""
    address = f"127.0.0.1:{port()}"
    with contextlib.ExitStack() as stack:
        processes = []
        for number in range(2):
            folder = out.parent / f"host{number}"
            folder.mkdir(exist_ok=True)
            process = subprocess.Popen(
                [COMMAND, "train", *options, "--out", out if number == 0 else "run"],
                env={**os.environ, "KERAS_BACKEND": "jax", **job(address, "2", str(number))},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        yield processes


@pytest.mark.slow
@pytest.mark.train
def test_two_processes_lose_one_and_continue(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="needs jax: pip install jax")
    run, whole, alone = tmp_path / "run", tmp_path / "whole", tmp_path / "alone"
    with two_processes(run, *LONG) as (first, second):
        deadline = time.monotonic() + 120
        while not list(run.glob("checkpoint-*.keras")):
            assert first.poll() is None, first.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        second.send_signal(signal.SIGKILL)
        out, errors = first.communicate(timeout=60)
    done = subprocess.CompletedProcess("train", first.returncode, out, errors)
    assert first.returncode == 2
    assert_error(done, "host-processes-lost", "Expected 2 processes")
    assert " on 2 devices of 2 processes\n" in errors
    shutil.copytree(run, alone)

    with two_processes(run, *LONG) as (first, second):
        out, errors = first.communicate(timeout=300)
        assert second.communicate(timeout=60) == ("", "")
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert out.startswith(f"{run}: ")
    assert "Resuming " in errors
    # The second process left nothing.
    assert not list((tmp_path / "host1").iterdir())

    # As one process with two devices that nobody interrupts, bit for bit. XLA divides its sums by
    # the size of its pool of threads: the larger of a process's devices and processors.
    jax = {"KERAS_BACKEND": "jax"}
    two = {**jax, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    cli("train", *LONG, "--devices", "2", "--out", whole, env=two)
    assert record(run)["recipe"] == record(whole)["recipe"]
    if usable_cpus() > 1:
        assert record(run)["weights_sha256"] == record(whole)["weights_sha256"]
    # The other half of the run on one device: the order of sums differs.
    cli("train", *LONG, "--out", alone, env=jax)
    counts = [
        [record(one)[name] for name in ("devices", "processes")] for one in (run, whole, alone)
    ]
    assert counts == [[2, 2], [2, 1], [1, 1]]
    losses = [[float(row["loss"]) for row in history(one)] for one in (run, whole, alone)]
    assert losses[2] == pytest.approx(losses[1], rel=2e-2)


@pytest.mark.slow
@pytest.mark.train
def test_processes_with_different_options_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="needs jax: pip install jax")
    address = f"127.0.0.1:{port()}"
    processes = [
        subprocess.Popen(
            [COMMAND, "train", *LONG, "--seed", str(number), "--out", tmp_path / str(number)],
            env={**os.environ, "KERAS_BACKEND": "jax", **job(address, "2", str(number))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    for process in processes:
        out, errors = process.communicate(timeout=300)
        done = subprocess.CompletedProcess("train", process.returncode, out, errors)
        assert process.returncode == 2
        assert_error(done, "host-processes-differ", "the same recipe", "in process 1")
