"""`edge-mnist train`: options in, a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_mnist.system.progress import Progress

from ..training import recipes
from .options import DATA_HELP, PATH, quiet_option

if TYPE_CHECKING:
    from edge_mnist import Classifier, datasets

    from ..runs import Recipe, Run


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    from ..training.architecture_search import parse_size

    try:
        return parse_size(value)
    except ValueError:
        raise click.BadParameter(f"expected a size such as 15KB or 15KiB, got {value!r}.") from None


@click.command(
    short_help="Train a CNN and write a run folder.",
    epilog="\b\nExamples:"
    "\n  edge-mnist train"
    "\n  edge-mnist train --arch nano --epochs 10 --out runs/nano",
)
@click.option(
    "--arch",
    type=click.Choice(tuple(recipes.RECIPES)),
    help="pico, nano, edge, accurate: from smallest to largest; seed: the tutorial's.  "
    "[default: edge]",
)
@click.option(
    "--max-size",
    "max_bytes",
    callback=_size,
    metavar="SIZE",
    help="Choose the most accurate architecture whose int8 file is at most this large, such as "
    "15KB.",
)
@click.option(
    "--max-latency-us",
    "max_us",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Choose the most accurate architecture within this latency (int8, LiteRT, one thread, "
    "measured here).",
)
@click.option(
    "--recipe",
    "recipe_name",
    type=click.Choice(recipes.NAMES),
    help="plain: no augmentation; standard: augmentation; full: augmentation and many more epochs."
    "  [default: standard; plain for seed]",
)
@click.option(
    "--activation",
    type=click.Choice(("relu", "sigmoid", "tanh")),
    default="relu",
    show_default=True,
    help="The activation of the hidden layers.",
)
@click.option("--data", default="auto", show_default=True, help=DATA_HELP)
@click.option("--epochs", type=click.IntRange(1), help="[default: the recipe's]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option(
    "--teacher",
    metavar="MODEL",
    help="A bundle, a .tflite or an .onnx to distil from; none to learn from the labels alone.  "
    "[default: accurate on MNIST, none for seed or plain]",
)
@click.option(
    "--labels",
    type=click.Choice(("sparse", "one-hot")),
    help="The form of the labels for the cross-entropy.  "
    "[default: one-hot; sparse with --recipe plain]",
)
@click.option("--limit", type=click.IntRange(120), help="Only the first N training images.")
@click.option("--out", type=PATH, help="The run folder.  [default: runs/ARCH-TIME]")
@quiet_option
def train(
    *,
    arch: str | None,
    max_bytes: int | None,
    max_us: float | None,
    recipe_name: str | None,
    data: str,
    teacher: str | None,
    out: Path | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Train a CNN and write model.keras, run.json, history.csv and curves.png.

    The same command continues an interrupted run, which loses at most the running epoch. Keras
    trains on TensorFlow, or on the backend that KERAS_BACKEND names (tensorflow, jax), and uses a
    GPU if the backend finds one.
    """
    from ..frameworks import keras_backend

    limited = max_bytes is not None or max_us is not None
    if arch and limited:
        raise click.UsageError(
            f"Expected --arch or limits to choose it by, got both; leave --arch {arch} out."
        )
    backend = keras_backend()
    progress = Progress(quiet=quiet)
    progress.line(f"Loading data: {data}")
    from edge_mnist import datasets

    from ..training import distillation
    from ..training.run_options import RunOptions, recipe_for

    data_source = datasets.find(data)
    if limited:
        arch = _choose_architecture(backend, max_bytes, max_us, progress)
    arch = arch or "edge"
    schedule = recipes.schedule(arch, recipe_name)
    classifier = distillation.load_teacher(
        teacher, data_source, distill=schedule.temperature is not None
    )
    _check_augmentation(schedule, options["labels"], teaches=classifier is not None)
    recipe = recipe_for(
        RunOptions(arch=arch, backend=backend, **options), schedule, data_source, classifier
    )
    click.echo(summary(run_training(recipe, data_source, out, progress, classifier)))


def _check_augmentation(schedule: recipes.Schedule, labels: str | None, *, teaches: bool) -> None:
    if labels == "sparse" and schedule.augment:
        raise click.UsageError(
            "Expected --labels one-hot with an augmented recipe, whose images without a digit have "
            "soft labels, got sparse; leave --labels out."
        )
    if teaches and not schedule.augment:
        raise click.UsageError(
            "Expected --teacher with an augmented recipe, got one without augmentation; give "
            "--recipe standard too."
        )


def _choose_architecture(
    backend: str, max_bytes: int | None, max_us: float | None, progress: Progress
) -> str:
    from ..frameworks import load_keras

    if backend != "tensorflow":
        raise click.UsageError(
            f"Expected KERAS_BACKEND=tensorflow with --max-size and --max-latency-us, got "
            f"{backend}; give the --arch that they choose there."
        )
    load_keras(backend, progress)
    from ..training import architecture_search

    progress.line("Size and latency of untrained int8 models, here on LiteRT with one thread:")
    arch, lines = architecture_search.choose(
        architecture_search.measure(), max_bytes=max_bytes, max_us=max_us
    )
    for line in lines:
        progress.line(f"  {line}")
    return arch


def run_training(
    recipe: Recipe,
    data_source: datasets.Source,
    out: Path | None,
    progress: Progress,
    teacher: Classifier | None = None,
) -> Run:
    """Train, or continue an unfinished run of the same recipe."""
    from .. import runs
    from ..frameworks import load_keras

    folder = runs.find_folder(recipe, out)
    load_keras(recipe.backend, progress)
    from ..training import loop

    try:
        with runs.locked(folder):
            return loop.train(recipe, data_source, folder, progress, teacher)
    except KeyboardInterrupt:
        if any(folder.glob("checkpoint-*.keras")):
            progress.warn(f"{folder} keeps the finished epochs: the same command continues.")
        raise


def summary(run: Run) -> str:
    """Return one line on a finished run."""
    results = run.record["results"]
    return (
        f"{run.path}: {run.record['parameters']:,} parameters, test accuracy "
        f"{results['test_accuracy']:.2%} on {results['test_data']} "
        f"(validation {results['validation_accuracy']:.2%}), {run.record['seconds']:.0f} s on "
        f"{run.record['device']}"
    )
