"""Whether quantization made a model slower: on some processors it does, and it should be said."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

import numpy as np

from edge_mnist import backends
from edge_mnist.bundle import Artifact
from edge_mnist.classifier import Classifier

_ROUNDS = 15
_ROUND_NS = 2_000_000
# Of two medians taken in turn on a busy machine; less than this is no difference.
_SLOWER = 1.1


def slower_than_float(artifacts: Sequence[Artifact]) -> Iterator[str]:
    """Yield a line for every file that is slower here than the float32 one of its format."""
    for format in dict.fromkeys(artifact.format for artifact in artifacts):
        files = [artifact for artifact in artifacts if artifact.format == format]
        runtime = backends.installed(format)[0]
        times = _invoke_us(files, runtime)
        plain = times["float32"]
        for artifact in files:
            own = times[artifact.precision]
            if own > plain * _SLOWER:
                yield (
                    f"{artifact.path.name} is slower here than float32: {own:.0f} µs a run, "
                    f"not {plain:.0f} ({runtime.distribution} {runtime.version}, one thread). "
                    f"Devices differ: edge-mnist benchmark tells"
                )


def _invoke_us(files: Sequence[Artifact], runtime: backends.Runtime) -> dict[str, float]:
    """Return the median microseconds of a run by precision, all files taking turns."""
    runs = {}
    for artifact in files:
        classifier = Classifier.from_artifact(artifact, runtime)
        image = np.zeros((1, *classifier.contract.shape), np.uint8)
        runs[artifact.precision] = (classifier.session.run, classifier.encode(image))
    samples: dict[str, list[float]] = {precision: [] for precision in runs}
    for _ in range(_ROUNDS):
        for precision, (run, values) in runs.items():
            start = time.perf_counter_ns()
            count = 0
            while (spent := time.perf_counter_ns() - start) < _ROUND_NS:
                run(values)
                count += 1
            samples[precision].append(spent / count / 1000)
    return {precision: statistics.median(values) for precision, values in samples.items()}
