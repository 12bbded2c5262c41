"""Model files in, the minimum latency of one run of each out.

Files take turns, and the minimum counts, because on a busy machine longer times include other
programs.
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
# Ratio of two minimum latencies below which a file does not count as slower.
_SLOWER_RATIO = 1.1


def slower_than_float(artifacts: Sequence[Artifact]) -> Iterator[str]:
    """Yield a line for every file that is slower here than the float32 file of its format.

    On some processors quantization makes a model slower.
    """
    # A float32 file that failed the gate is not there to compare with.
    for format in [a.format for a in artifacts if a.precision == "float32"]:
        files = [artifact for artifact in artifacts if artifact.format == format]
        runtime = backends.installed(format)[0]
        latency_us = invoke_us({a.precision: Classifier.from_artifact(a, runtime) for a in files})
        float32_us = latency_us["float32"]
        for artifact in files:
            own_us = latency_us[artifact.precision]
            if own_us > float32_us * _SLOWER_RATIO:
                yield (
                    f"{artifact.name} is slower here than float32: {own_us:.1f} µs per run "
                    f"instead of {float32_us:.1f} ({runtime.distribution} {runtime.version}, one "
                    f"thread). Measure the device with: edge-mnist benchmark"
                )


def invoke_us(classifiers: Mapping[str, Classifier]) -> dict[str, float]:
    """Measure the minimum latency of one run of each classifier's runtime, in µs by its name."""
    runs = {}
    for name, classifier in classifiers.items():
        image = np.zeros((1, *classifier.spec.shape), np.uint8)
        runs[name] = (classifier.session.run, classifier.encode(image))
    minimum_ns = dict.fromkeys(runs, math.inf)
    for _ in range(_ROUNDS):
        for name, (run, values) in runs.items():
            end = time.perf_counter_ns() + _ROUND_NS
            while (start := time.perf_counter_ns()) < end:
                run(values)
                minimum_ns[name] = min(minimum_ns[name], time.perf_counter_ns() - start)
    return {name: ns / 1000 for name, ns in minimum_ns.items()}
