"""The process that one row is measured in: one model in one runtime, driven through pipes.

A process apart makes the first prediction a first one and the peak memory the model's own, and a
file that kills its process kills no other row. The job is the first line on standard input, a
request each further line, all JSON; every line is answered by one. When standard input ends, so
does the process.

What a figure is of:

- `import_ms`: numpy, `Classifier` and the runtime, imported into a Python that has started.
- `load_ms`: read and check the file, create the session. Importing is not in it.
- `first_us`: the first `predict`, with whatever the runtime puts off until then.
- `predict_us`: `Classifier.predict` of a (28, 28) uint8 array, or of the model's own size, from
  pixels to `Prediction`.
- `preprocess_us`, `invoke_us`, `postprocess_us`: the three calls that `predict` makes
  (`Classifier.stages`), timed apart in predictions of their own. Each holds one reading of the
  clock, `timer_ns`, which is not taken off.
- `peak_rss_mb`: the process's largest resident size, the interpreter and numpy included.
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

    from ..classifier import Classifier

STAGES = ("preprocess", "invoke", "postprocess")
# Enough for the caches to be this row's again, little beside a round.
_UNCOUNTED = 20
_UNCOUNTED_NS = 5_000_000
_clock = time.perf_counter_ns


class MeasuredModel:
    """A loaded classifier and the image that it is given again and again.

    What the pixels are does not change the time of these models; a seed makes them repeatable.
    """

    def __init__(self, classifier: Classifier, image: NDArray[uint8]) -> None:
        self._classifier, self._image = classifier, image

    def warm_up(self, *, window_ns: int, windows: int, variation: float, most_ns: int) -> Any:
        """Predict until the medians of the last windows vary no more than that, or time is over.

        Returns predictions, seconds, whether it became stable, and the last window's median.
        """
        medians: list[float] = []
        count, start = 0, _clock()
        while True:
            samples = self._whole(least=3, least_ns=window_ns)
            count += len(samples)
            medians.append(_median(samples))
            stable = len(medians) >= windows and _variation(medians[-windows:]) <= variation
            if stable or (len(medians) >= windows and _clock() - start > most_ns):
                break
        took_s = (_clock() - start) / 1e9
        return {
            "predictions": count,
            "seconds": round(took_s, 3),
            "stable": stable,
            "pace_ns": medians[-1],
            "cpu_s": time.process_time(),
        }

    def turn(self, *, keep: int, least_ns: int) -> Any:
        """Time `keep` predictions whole and `keep` in stages; nanoseconds.

        Each half goes on for `least_ns`; where that is more, `keep` are picked evenly.
        """
        self._uncounted()
        whole = self._whole(least=keep, least_ns=least_ns)
        stages = self._in_stages(least=keep, least_ns=least_ns)
        picked = {"predict": _thinned(whole, keep)}
        for name, samples in zip(STAGES, zip(*_thinned(stages, keep), strict=True), strict=True):
            picked[name] = list(samples)
        return {"samples_ns": picked, "cpu_s": time.process_time(), "peak_rss_mb": peak_rss_mb()}

    def _uncounted(self) -> None:
        end = _clock() + _UNCOUNTED_NS
        for _ in range(_UNCOUNTED):
            self._classifier.predict(self._image)
            if _clock() > end:
                break

    def _whole(self, *, least: int, least_ns: int) -> list[int]:
        predict, image, clock = self._classifier.predict, self._image, _clock
        samples: list[int] = []
        end = clock() + least_ns
        while True:
            start = clock()
            predict(image)
            stop = clock()
            samples.append(stop - start)
            if stop >= end and len(samples) >= least:
                return samples

    def _in_stages(self, *, least: int, least_ns: int) -> list[tuple[int, int, int]]:
        preprocess, invoke, postprocess = self._classifier.stages
        image, clock = self._image, _clock
        samples: list[tuple[int, int, int]] = []
        end = clock() + least_ns
        while True:
            start = clock()
            values = preprocess(image)
            encoded = clock()
            output = invoke(values)
            invoked = clock()
            postprocess(output)
            stop = clock()
            samples.append((encoded - start, invoked - encoded, stop - invoked))
            if stop >= end and len(samples) >= least:
                return samples


def _thinned(samples: list[Any], keep: int) -> list[Any]:
    """Return `keep` of the samples, evenly spaced."""
    return [samples[index * len(samples) // keep] for index in range(keep)]


def _median(samples: Sequence[float]) -> float:
    return sorted(samples)[len(samples) // 2]


def _variation(values: Sequence[float]) -> float:
    """Return the coefficient of variation: the standard deviation over the mean."""
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5 / mean)


def load(
    *, file: str, backend: str, threads: int, scaling: dict[str, Any] | None
) -> tuple[MeasuredModel, dict[str, Any]]:
    """Import, load and predict once; return the model and what that took."""
    import importlib

    start = _clock()
    import numpy as np

    from .. import backends
    from ..bundle import find_artifacts
    from ..bundle.model_spec import Scaling
    from ..classifier import Classifier

    # One that cannot be imported is told of, with its remedy, where the model is loaded.
    with contextlib.suppress(ImportError, AttributeError, OSError, RuntimeError):
        importlib.import_module(f"{backends.__name__}.{backend}")
    import_ns = _clock() - start
    artifact = find_artifacts(file, scaling=Scaling.given(**(scaling or {})))[0]
    start = _clock()
    # This process is a child already: a model that ends it ends one row.
    classifier = Classifier.from_artifact(
        artifact, backends.get(backend), threads=threads, sandbox=False
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
    """Return the median of what lies between two readings of the clock with nothing between."""
    return int(_median([-_clock() + _clock() for _ in range(1001)]))


def peak_rss_mb() -> float | None:
    """Return this process's peak resident size in MB (10⁶ bytes), None where it is not told."""
    # Linux's ru_maxrss would not do: it begins with that of the process that started this one.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    if sys.platform != "darwin":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)


def _answer_to(model: MeasuredModel, request: dict[str, Any]) -> Any:
    return (model.warm_up if request.pop("do") == "warm_up" else model.turn)(**request)


def _own_output() -> IO[str]:
    """Return what was standard output, and lead there what a runtime prints to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> None:
    """Serve until standard input ends."""
    # Ctrl-C reaches every process of the terminal; the parent is the one that ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _own_output()

    def answer(content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        model, loaded = load(**json.loads(sys.stdin.readline()))
        answer(loaded)
        for line in sys.stdin:
            answer(_answer_to(model, json.loads(line)))
    except EdgeMnistError as error:
        answer({"error": str(error)})


if __name__ == "__main__":
    main()
