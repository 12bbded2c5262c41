"""A child process that times the parts of a model: a line of JSON in, a line of JSON out.

It is a process of its own because a part of a foreign file was never tried, and because all parts
are in memory at once.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backends
from ..benchmark.worker import answer_stream, unpacked
from ..classifier import Classifier
from ..errors import EdgeMnistError
from .file_layers import parts, read_layers

# Runs of a part in one turn: at most _UNTIMED, which refill the caches; then at most _RUNS that are
# timed. One of each, and no more after _TURN_S seconds: a slow model needs seconds for a run.
_UNTIMED, _RUNS, _TURN_S = 3, 20, 0.02
# Rounds of all parts: as many as fit into _SECONDS, within these bounds.
_SECONDS, _LEAST_ROUNDS, _MOST_ROUNDS = 2.0, 3, 200
# Seconds in which all parts take turns untimed, so that the processor reaches its frequency.
_WARM_UP_S = 0.2

_clock = time.perf_counter_ns
Run = Callable[[], object]


def measure(*, artifact: str, backend: str) -> dict[str, Any]:
    """Return the median of each part in µs, and the shapes of the tensors between the layers."""
    file, runtime = unpacked(artifact), backends.get(backend)
    # This process is a child already.
    classifier = Classifier.from_artifact(file, runtime, sandbox=False)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *classifier.spec.shape), np.uint8)
    batch = max(1, classifier.session.input.shape[0])
    values = classifier.encode(np.repeat(pixels, batch, axis=0))
    content = file.read()
    files = parts(file.format, content, read_layers(file, content))
    loaded = [backends.load_part(runtime, part) for part in files]
    runs = [part.bind(values) for part in loaded]
    for run in runs:
        run()
    shapes = {
        tensor.name: (tensor.shape, tensor.dtype) for part in loaded for tensor in part.outputs()
    }
    times_us, rounds = _time_in_turns(runs)
    return {"parts_us": times_us, "rounds": rounds, "shapes": shapes}


def _time_in_turns(runs: Sequence[Run]) -> tuple[list[float], int]:
    """Return the median over the rounds of the medians of each function, in µs, and the rounds.

    The functions take turns, so that a drift of the machine affects all alike.
    """
    order, medians = random.Random(0), [list[float]() for _ in runs]
    start = time.perf_counter()
    while time.perf_counter() - start < _WARM_UP_S:
        for run in runs:
            run()
    start, rounds = time.perf_counter(), 0
    while rounds < _LEAST_ROUNDS or (
        rounds < _MOST_ROUNDS and time.perf_counter() - start < _SECONDS
    ):
        for index in order.sample(range(len(runs)), len(runs)):
            medians[index].append(_turn_ns(runs[index]))
        rounds += 1
    return [statistics.median(part) / 1000 for part in medians], rounds


def _turn_ns(run: Run) -> float:
    end, samples = _clock() + int(_TURN_S * 1e9), list[int]()
    for number in range(_UNTIMED + _RUNS):
        start = _clock()
        run()
        stop = _clock()
        if number >= _UNTIMED or (number and stop > end):
            samples.append(stop - start)
            if stop > end:
                break
    return statistics.median(samples)


def main() -> None:
    """Answer the request on standard input."""
    answers = answer_stream()
    try:
        answer = measure(**json.loads(sys.stdin.readline()))
    except EdgeMnistError as error:
        answer = {"error": str(error)}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
