"""What a run costs here: files take turns, and the least time of each is taken.

The least, since on a busy machine every other one is of what else was running.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edge_mnist import backends
from edge_mnist.bundle import Artifact
from edge_mnist.classifier import Classifier

_ROUNDS = 20
_ROUND_NS = 2_000_000
# Of the least times of two files that took turns; less than this is no difference.
_SLOWER = 1.1


def slower_than_float(artifacts: Sequence[Artifact]) -> Iterator[str]:
    """Yield a line for every file that is slower here than the float32 one of its format.

    On some processors quantization makes a model slower, and it should be said.
    """
    for format in dict.fromkeys(artifact.format for artifact in artifacts):
        files = [artifact for artifact in artifacts if artifact.format == format]
        runtime = backends.installed(format)[0]
        times = invoke_us({a.precision: Classifier.from_artifact(a, runtime) for a in files})
        plain = times["float32"]
        for artifact in files:
            own = times[artifact.precision]
            if own > plain * _SLOWER:
                yield (
                    f"{artifact.path.name} is slower here than float32: {own:.1f} µs a run, "
                    f"not {plain:.1f} ({runtime.distribution} {runtime.version}, one thread). "
                    f"Devices differ: edge-mnist benchmark tells"
                )


def invoke_us(classifiers: Mapping[str, Classifier]) -> dict[str, float]:
    """Return the least microseconds of one run of each, all taking turns."""
    runs = {}
    for name, classifier in classifiers.items():
        image = np.zeros((1, *classifier.spec.shape), np.uint8)
        runs[name] = (classifier.session.run, classifier.encode(image))
    least = dict.fromkeys(runs, math.inf)
    for _ in range(_ROUNDS):
        for name, (run, values) in runs.items():
            end = time.perf_counter_ns() + _ROUND_NS
            while (start := time.perf_counter_ns()) < end:
                run(values)
                least[name] = min(least[name], time.perf_counter_ns() - start)
    return {name: ns / 1000 for name, ns in least.items()}
