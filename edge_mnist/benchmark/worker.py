"""The worker process that measures one row: a job and requests in, samples out, as JSON lines.

The job is the first line on standard input; every further line is a request. Each line gets one
line as its answer on standard output. The process ends when standard input does.

docs/benchmark.md defines every figure and says why each row has its own process. This module
imports little before `load`: imports would lower `import_ms` and raise the peak memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from ..errors import EdgeMnistError

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    from ..bundle import Artifact
    from ..classifier import Classifier

STAGES = ("preprocess", "invoke", "postprocess")
# Predictions before each turn that refill the caches, and the nanoseconds that they may take.
_UNTIMED, _UNTIMED_NS = 20, 5_000_000
_clock = time.perf_counter_ns


class MeasuredModel:
    """A loaded classifier, and the one image that it classifies in every prediction."""

    def __init__(self, classifier: Classifier, image: NDArray[uint8]) -> None:
        self._classifier, self._image = classifier, image

    def warm_up(
        self, *, window_ns: int, windows: int, max_variation: float, max_ns: int
    ) -> dict[str, Any]:
        """Predict until the last windows' medians vary by `max_variation` at most, or `max_ns`.

        `latency_ns` of the answer is the median of the last window.
        """
        medians: list[float] = []
        count, start = 0, _clock()
        while True:
            samples = self._time_predict(min_samples=3, min_ns=window_ns)
            count += len(samples)
            medians.append(_median(samples))
            if len(medians) >= windows:
                stable = _variation(medians[-windows:]) <= max_variation
                if stable or _clock() - start > max_ns:
                    break
        return {
            "predictions": count,
            "seconds": round((_clock() - start) / 1e9, 3),
            "stable": stable,
            "latency_ns": medians[-1],
            "cpu_s": time.process_time(),
        }

    def turn(self, *, keep: int, min_ns: int) -> dict[str, Any]:
        """Time `keep` predictions as a whole and `keep` in stages.

        Each half lasts at least `min_ns`; if that gives more samples, they are thinned evenly.
        """
        self._refill_caches()
        predict = self._time_predict(min_samples=keep, min_ns=min_ns)
        stages = self._time_stages(min_samples=keep, min_ns=min_ns)
        samples = {"predict": _thinned(predict, keep)}
        for name, column in zip(STAGES, zip(*_thinned(stages, keep), strict=True), strict=True):
            samples[name] = list(column)
        return {"samples_ns": samples, "cpu_s": time.process_time(), "peak_rss_mb": _peak_rss_mb()}

    def _refill_caches(self) -> None:
        end = _clock() + _UNTIMED_NS
        for _ in range(_UNTIMED):
            self._classifier.predict(self._image)
            if _clock() > end:
                break

    def _time_predict(self, *, min_samples: int, min_ns: int) -> list[int]:
        predict, image, clock = self._classifier.predict, self._image, _clock
        samples: list[int] = []
        end = clock() + min_ns
        while True:
            start = clock()
            predict(image).digit  # noqa: B018 - made when it is asked for
            stop = clock()
            samples.append(stop - start)
            if stop >= end and len(samples) >= min_samples:
                return samples

    def _time_stages(self, *, min_samples: int, min_ns: int) -> list[tuple[int, int, int]]:
        preprocess, invoke, postprocess = self._classifier.stages
        image, clock = self._image, _clock
        samples: list[tuple[int, int, int]] = []
        end = clock() + min_ns
        while True:
            start = clock()
            values = preprocess(image)
            encoded = clock()
            output = invoke(values)
            invoked = clock()
            postprocess(output).digit  # noqa: B018
            stop = clock()
            samples.append((encoded - start, invoked - encoded, stop - invoked))
            if stop >= end and len(samples) >= min_samples:
                return samples


def _thinned(samples: list[Any], keep: int) -> list[Any]:
    return [samples[index * len(samples) // keep] for index in range(keep)]


def _median(samples: Sequence[float]) -> float:
    return sorted(samples)[len(samples) // 2]


def _variation(values: Sequence[float]) -> float:
    """Return the coefficient of variation: standard deviation over mean."""
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5 / mean)


def packed(artifact: Artifact) -> str:
    """Return an artifact as a worker's job takes it.

    Not its path: a worker would ask again whether its bundle is trusted, maybe of other keys, and
    of a manifest that has changed since.
    """
    import base64
    import pickle

    return base64.b64encode(pickle.dumps(artifact)).decode()


def unpacked(artifact: str) -> Artifact:
    """Return the artifact of a job, which comes from the parent process."""
    import base64
    import pickle

    found: Artifact = pickle.loads(base64.b64decode(artifact))
    return found


def load(*, artifact: str, backend: str, threads: int) -> tuple[MeasuredModel, dict[str, Any]]:
    """Import, load and predict once; return the model and the times of each step."""
    import importlib

    start = _clock()
    import numpy as np

    from .. import backends
    from ..classifier import Classifier

    # A runtime that cannot be imported is reported, with its remedy, when the model is loaded.
    with contextlib.suppress(ImportError, AttributeError, OSError, RuntimeError):
        importlib.import_module(f"{backends.__name__}.{backend}")
    import_ns = _clock() - start
    file = unpacked(artifact)
    start = _clock()
    # This process is a child already: a model that ends it ends one row.
    classifier = Classifier.from_artifact(
        file, backends.get(backend), threads=threads, sandbox=False
    )
    load_ns = _clock() - start
    image = np.random.default_rng(0).integers(0, 256, classifier.spec.shape, np.uint8)
    start = _clock()
    classifier.predict(image)
    first_ns = _clock() - start
    return MeasuredModel(classifier, image), {
        "import_ms": round(import_ns / 1e6, 2),
        "load_ms": round(load_ns / 1e6, 3),
        "first_us": round(first_ns / 1e3, 2),
        "timer_ns": _timer_ns(),
    }


def _timer_ns() -> int:
    """Return the median time between two consecutive readings of the clock."""
    return int(_median([-_clock() + _clock() for _ in range(1001)]))


def _peak_rss_mb() -> float | None:
    """Return this process's peak resident size in MB (10⁶ bytes), None where unknown."""
    # Not ru_maxrss on Linux: it starts at that of the parent process.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    if sys.platform != "darwin":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)


def answer_stream() -> IO[str]:
    """Return standard output for answers, and send to standard error what a runtime prints."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> None:
    """Answer requests until standard input ends."""
    # Ctrl-C reaches every process of the terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = answer_stream()

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        model, loaded = load(**json.loads(sys.stdin.readline()))
        answer(loaded)
        for line in sys.stdin:
            request = json.loads(line)
            answer((model.warm_up if request.pop("do") == "warm_up" else model.turn)(**request))
    except EdgeMnistError as error:
        answer({"error": str(error)})


if __name__ == "__main__":
    main()
