"""Compare `Classifier.predict` of an array with the shortest loop written by hand, in turn.

    .uv/bin/uv run python benchmarks/array_path.py

The loops are those of tests/classifier/hand_written.py: copy in, invoke, copy out, argmax. They and
`predict` run in one process, in turns of 20 calls on different test images, in random order in each
round. A ratio is the median of the rounds' ratios: what slows the machine for a while slows both.

- same: the loop by hand against itself, which shows the error;
- predict: `predict(image)`;
- digit: `predict(image).digit`; confidence: that, and `confidence` too.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge_mnist import Classifier, backends, datasets
from edge_mnist.bundle import MODELS

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.classifier import hand_written

CALLS = 20
Call = Callable[[Any], object]


def calls(backend: str, by_hand: str, model: str) -> dict[str, Call]:
    """Return what is compared, by name; each takes one image."""
    classifier = Classifier(model, backend=backend)
    predict = classifier.predict
    loop = hand_written.load(by_hand, str(classifier.artifact.file))
    return {
        "hand": loop,
        "same": loop,
        "predict": predict,
        "digit": lambda image: predict(image).digit,
        "confidence": lambda image: (prediction := predict(image)).digit and prediction.confidence,
    }


def measure(
    compared: dict[str, Call], images: Sequence[Any], rounds: int
) -> dict[str, list[float]]:
    """Return the microseconds a call of each round."""
    times: dict[str, list[float]] = {name: [] for name in compared}
    clock = time.perf_counter_ns
    for number in range(rounds):
        at = number * CALLS % (len(images) - CALLS)
        part = images[at : at + CALLS]
        for name in random.sample(list(compared), len(compared)):
            call = compared[name]
            start = clock()
            for image in part:
                call(image)
            times[name].append((clock() - start) / CALLS / 1000)
    return times


@click.command()
@click.option("--data", default="auto", show_default=True, help="As for edge-mnist evaluate.")
@click.option("--rounds", type=click.IntRange(10), default=600, show_default=True)
def main(data: str, rounds: int) -> None:
    """Print a row of medians and ratios for each model and runtime."""
    test = datasets.load(datasets.find(data), "test", limit=2000)
    images = [np.ascontiguousarray(image) for image in test.images]
    click.echo(f"{test.name}, {rounds} rounds of {CALLS} calls; int8, one thread")
    heads = ("same", "predict", "digit", "confidence")
    click.echo("model | runtime | by hand (µs) | predict (µs) | " + " | ".join(heads))
    pairs = [(runtime.backend, runtime.backend) for runtime in backends.installed()]
    if ("onnx", "onnx") in pairs:
        pairs.append(("onnx", "onnx_bound"))
    for model in MODELS:
        for backend, by_hand in pairs:
            times = measure(calls(backend, by_hand, model), images, rounds)
            middle = {name: statistics.median(column) for name, column in times.items()}
            ratios = {
                name: statistics.median(a / b for a, b in zip(column, times["hand"], strict=True))
                for name, column in times.items()
            }
            shown = " | ".join(f"{ratios[name]:.3f}" for name in heads)
            click.echo(
                f"{model} | {by_hand} | {middle['hand']:.1f} | {middle['predict']:.1f} | {shown}"
            )


if __name__ == "__main__":
    main()
