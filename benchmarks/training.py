"""Compare `edge-mnist train` with a bare Keras `fit` of the same model and images, in turn.

    .uv/bin/uv run python benchmarks/training.py [--arch seed] [--backend tensorflow]

Both validate every epoch on the same held-out images. The first epoch is reported separately,
because Keras traces and compiles in it. Each round runs two processes, one after the other.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

BARE = """
import json, sys, time
import keras
from edge_mnist import datasets
from edge_mnist_export.data.validation import hold_out
from edge_mnist_export.training import architectures

class Clock(keras.callbacks.Callback):
    seconds = []
    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()
    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(round(time.perf_counter() - self.start, 2))

arch, data, epochs = sys.argv[1:]
kept, held = hold_out(datasets.load(datasets.find(data), "train"))
images, validation = (s.images[..., None].astype("float32") / 255 for s in (kept, held))
model = architectures.build(arch)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(images, kept.labels, batch_size=128, epochs=int(epochs), verbose=0,
          validation_data=(validation, held.labels), callbacks=[Clock()])
print(json.dumps({"seconds": Clock.seconds, "images": len(images)}))
"""


def bare(arch: str, data: str, epochs: int, env: dict[str, str]) -> dict[str, Any]:
    """Return the `seconds` of each epoch of `model.fit`, and the `images` of an epoch."""
    command = [sys.executable, "-c", BARE, arch, data, str(epochs)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ours(arch: str, data: str, epochs: int, env: dict[str, str], out: Path) -> list[float]:
    """Return the seconds of each epoch of `edge-mnist train`, checkpoints included."""
    command = Path(sys.executable).with_name("edge-mnist")
    options = ("--arch", arch, "--recipe", "plain", "--data", data, "--epochs", str(epochs))
    subprocess.run(
        [command, "train", *options, "--out", out], env=env, capture_output=True, check=True
    )
    with (out / "history.csv").open(newline="", encoding="utf-8") as file:
        return [float(row["seconds"]) for row in csv.DictReader(file)]


@click.command()
@click.option("--arch", default="seed", show_default=True)
@click.option("--data", default="auto", show_default=True, help="As for edge-mnist train.")
@click.option("--backend", type=click.Choice(("tensorflow", "jax")), default="tensorflow")
@click.option("--rounds", type=click.IntRange(1), default=4, show_default=True)
@click.option("--epochs", type=click.IntRange(2), default=4, show_default=True)
def main(arch: str, data: str, backend: str, rounds: int, epochs: int) -> None:
    """Time the epochs of both, in turn."""
    env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    seconds: dict[str, list[list[float]]] = {"keras fit": [], "edge-mnist train": []}
    for number in range(rounds):
        click.echo(f"round {number + 1} of {rounds}", err=True)
        result = bare(arch, data, epochs, env)
        seconds["keras fit"].append(result["seconds"])
        with tempfile.TemporaryDirectory() as folder:
            run = ours(arch, data, epochs, env, Path(folder) / "run")
        seconds["edge-mnist train"].append(run)
    click.echo(f"{arch} on {backend}, {result['images']:,} images an epoch")
    click.echo("| | first epoch (s) | later epochs (s) | images/s | ratio |\n|---|---|---|---|---|")
    base = later(seconds["keras fit"])
    for name, epochs_of in seconds.items():
        first, then = statistics.median(part[0] for part in epochs_of), later(epochs_of)
        rate = result["images"] / then
        click.echo(f"| {name} | {first:.1f} | {then:.2f} | {rate:,.0f} | {then / base:.2f} |")


def later(rounds: Sequence[Sequence[float]]) -> float:
    """Return the median of all epochs except the first of each round."""
    return statistics.median(second for part in rounds for second in part[1:])


if __name__ == "__main__":
    main()
