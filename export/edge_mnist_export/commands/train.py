"""`edge-mnist train`: options in, a run folder out."""

from __future__ import annotations

import re
from typing import Any

import click

from .. import api
from ..training import recipes
from .options import PATH, config_option, not_nan, quiet_option


def _bytes(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    from ..training.architecture_search import parse_size

    try:
        return parse_size(value)
    except ValueError:
        raise click.BadParameter(f"expected a size such as 15KB or 15KiB, got {value!r}.") from None


def _size(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Parse "32x32" or "32x32x3"."""
    if value is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)(?:x([13]))?", value)
    if not match:
        raise click.BadParameter(f"expected a size such as 28x28 or 32x32x3, got {value!r}.")
    return tuple(int(number or 1) for number in match.groups())


@click.command(
    short_help="Train a CNN and write a run folder.",
    epilog="\b\nExamples:"
    "\n  edge-mnist train"
    "\n  edge-mnist train --arch nano --epochs 10 --out runs/nano"
    "\n  edge-mnist train --data pictures/ --size 32x32x3",
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
    callback=_bytes,
    metavar="SIZE",
    help="Choose the most accurate architecture whose int8 file is at most this large, such as "
    "15KB.",
)
@click.option(
    "--max-latency-us",
    "max_us",
    callback=not_nan,
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Choose the most accurate architecture within this latency (int8, LiteRT, one thread, "
    "measured here).",
)
@click.option(
    "--recipe",
    type=click.Choice(recipes.NAMES),
    help="plain: no augmentation; standard: augmentation; full: augmentation and many more epochs."
    "  [default: standard; plain for seed and for data of your own]",
)
@click.option(
    "--activation",
    type=click.Choice(recipes.ACTIVATIONS),
    default="relu",
    show_default=True,
    help="The activation of the hidden layers.",
)
@click.option(
    "--data",
    default="auto",
    show_default=True,
    help="auto, mnist, synthetic (drawn by edge-mnist), or a path: MNIST, an .npz of arrays, a "
    "folder with a subfolder per class, or four IDX files such as Fashion-MNIST.",
)
@click.option(
    "--size",
    callback=_size,
    metavar="HxW[xC]",
    help="Resize the pictures of a folder; C is 1 for grey, 3 for colour.  [default: 28x28, in "
    "colour if a picture is]",
)
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
    type=click.Choice(recipes.LABELS),
    help="The form of the labels for the cross-entropy.  "
    "[default: one-hot; sparse with --recipe plain]",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(1e-9, 1e3),
    callback=not_nan,
    help="The highest learning rate.  [default: the recipe's]",
)
@click.option(
    "--weight-decay",
    type=click.FloatRange(0, 1e3),
    callback=not_nan,
    help="Decoupled weight decay.  [default: the recipe's]",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0.1, 1e3),
    callback=not_nan,
    help="The temperature of distillation.  [default: the recipe's]",
)
@click.option(
    "--limit", type=click.IntRange(recipes.MIN_LIMIT), help="Only the first N training images."
)
@click.option(
    "--devices",
    type=click.IntRange(1),
    metavar="N",
    help="Share every batch between N GPUs, or N devices of a CPU.  [default: all GPUs, or one CPU "
    "device]",
)
@click.option("--out", type=PATH, help="The run folder.  [default: runs/ARCH-TIME]")
@config_option
@quiet_option
def train(**options: Any) -> None:
    """Train a CNN and write model.keras, run.json, history.csv and curves.png.

    The same command continues an interrupted run, which loses at most the running epoch. Keras
    trains on TensorFlow, or on the backend that KERAS_BACKEND names (tensorflow, jax), and uses a
    GPU if the backend finds one.
    """
    run = api.train(**options)
    # Of several processes only the first one has a folder, and prints.
    if run.path.exists():
        click.echo(run.summary)
