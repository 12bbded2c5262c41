"""Threads, forks, pickling, and a long life."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier, backends
from edge_mnist.datasets import find, load
from tests.conftest import WHOLE
from tests.errors import raises

BACKENDS = [runtime.backend for runtime in backends.installed()]
FILES = [
    (backend, WHOLE / f"model-{precision}.{backends.RUNTIMES[backend].format}")
    for backend in BACKENDS
    for precision in ("int8", "float32")
    if precision == "int8" or not backends.RUNTIMES[backend].int8_only
]


@pytest.fixture(scope="module", autouse=True)
def blas_threads() -> Iterator[None]:
    """Let OpenBLAS have threads, as it has with users: forks and threads may disturb each other."""
    found = Path(np.__file__).parents[1].glob("numpy.libs/libscipy_openblas*.so")
    libraries = [ctypes.CDLL(str(path)) for path in found]
    for library in libraries:
        library.scipy_openblas_set_num_threads64_(2)
    yield
    for library in libraries:
        library.scipy_openblas_set_num_threads64_(1)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load(find("synthetic"), "test", limit=400).images


@pytest.mark.parametrize(("backend", "path"), FILES, ids=str)
def test_threads_share_a_classifier(backend: str, path: Path, images: np.ndarray) -> None:
    classifier = Classifier(path, backend=backend)
    expected = [classifier.predict(image).probabilities for image in images]
    together = classifier.predict_probabilities(images)
    start = threading.Barrier(4)

    def work(number: int) -> bool:
        start.wait()
        order = np.random.default_rng(number).permutation(len(images))
        same = all(
            np.array_equal(classifier.predict(images[i]).probabilities, expected[i]) for i in order
        )
        return same and np.array_equal(classifier.predict_probabilities(images), together)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [True] * 4


@pytest.fixture
def impatient() -> Iterator[None]:
    """End this process, a fork that hangs, rather than wait for it."""
    yield
    signal.alarm(0)


# Python 3.12 and later warn of a fork in a process with threads, which numpy has.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fork_predicts_even_while_a_thread_has_the_turn(
    backend: str, threads: int, images: np.ndarray
) -> None:
    classifier = Classifier(backend=backend, threads=threads)
    expected = classifier.predict(images[0])
    # Another thread holds the lock, and does not come along.
    with classifier._io._lock:
        child = os.fork()
        if not child:
            signal.alarm(20)
            same = classifier.predict(images[0]).digit == expected.digit
            os._exit(0 if same and len(classifier.predict_batch(images)) == 400 else 3)
    assert os.waitpid(child, 0)[1] == 0
    assert classifier.predict(images[0]).digit == expected.digit


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_classifier_goes_to_worker_processes(method: str, images: np.ndarray) -> None:
    classifier = Classifier()
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        parts = list(pool.map(classifier.predict_batch, np.split(images, 4)))
    assert np.concatenate(parts).tolist() == classifier.predict_batch(images).tolist()


def test_what_was_found_out_is_pickled_too(
    tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.tflite").write_bytes((WHOLE / "model-float32.tflite").read_bytes())
    monkeypatch.chdir(tmp_path)
    classifier = Classifier("mine.tflite", scale=1 / 512, mean=0.1)
    content = pickle.dumps(classifier)
    monkeypatch.chdir("/")
    again = pickle.loads(content)
    assert again.spec == classifier.spec
    assert again.scaling_from == "given"
    probabilities = classifier.predict_probabilities(images)
    assert np.array_equal(again.predict_probabilities(images), probabilities)
    (tmp_path / "mine.tflite").unlink()
    with raises("bundle-file-missing", "file", "mine.tflite", "No such"):
        pickle.loads(content)


PREDICT = """
import sys, numpy as np
from edge_mnist import Classifier
Classifier(backend=sys.argv[1]).predict(np.zeros((28, 28), np.uint8))
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_prediction_leaves_nothing_behind(backend: str, tmp_path: Path) -> None:
    # ONNX Runtime would keep here what it sends to its makers, an identifier of the device first.
    # It does not where a variable says that this is CI: nothing of this environment goes along.
    subprocess.run(
        [sys.executable, "-c", PREDICT, backend], env={"HOME": str(tmp_path)}, check=True
    )
    assert not list(tmp_path.rglob("*"))


LONG_LIFE = """
import sys, numpy as np
from edge_mnist import Classifier

def resident_mb():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000

classifier = Classifier(sys.argv[1], backend=sys.argv[2])
images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
def predict(count):
    for _ in range(count // 1000):
        for image in images:
            classifier.predict(image)
predict(20_000)
classifier.predict_batch(images)
before = resident_mb()
predict(int(sys.argv[3]))
for _ in range(50):
    classifier.predict_batch(images)
print(resident_mb() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("backend", "name", "count"),
    [("litert", "model-float32.tflite", 100_000), ("onnx", "model-int8.onnx", 100_000)],
)
def test_many_predictions_leave_no_trace(backend: str, name: str, count: int) -> None:
    if backend not in BACKENDS:
        pytest.skip(f"needs {backends.RUNTIMES[backend].distribution}")
    done = subprocess.run(
        [sys.executable, "-c", LONG_LIFE, WHOLE / name, backend, str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    # A Python object has 16 bytes at least: 1.6 MB. A page here or there is the allocator's.
    assert float(done.stdout) < 0.5
