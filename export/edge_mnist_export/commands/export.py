"""`edge-mnist export`: options in, a bundle folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import api
from ..conversion.targets import TARGETS
from . import options
from .options import PATH, config_option, hf_option, quiet_option


@click.command(
    short_help="Quantize and export a model as a verified bundle.",
    epilog="\b\nExamples:"
    "\n  edge-mnist export --int8"
    "\n  edge-mnist export model.keras --data pictures.npz --int8 --out bundle"
    "\n  edge-mnist export edge --format c,html --out edge-programs",
)
@click.argument("run", metavar="[RUN|MODEL]", required=False, type=PATH)
@click.option("--int8", is_flag=True, help="Integers only, also input and output.")
@click.option("--fp16", "float16", is_flag=True, help="float16 weights.")
@click.option("--dynamic", is_flag=True, help="8-bit weights, float activations.")
@click.option(
    "--format",
    "formats",
    callback=options.formats,
    help="Any of tflite, onnx, c, html and triton, with commas. c is C99 for a microcontroller, "
    "html one page; both are made of the int8 .tflite file. triton is a model repository for "
    "Triton and KServe, of an .onnx file.  [default: tflite and onnx, if the target loads them]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="A fixed batch for the .onnx files, for runtimes that need one.  [default: open]",
)
@click.option(
    "--target",
    type=click.Choice(tuple(TARGETS)),
    default="generic",
    show_default=True,
    help="The kind of device that has to load every file.",
)
@click.option(
    "--max-drop",
    callback=options.not_nan,
    type=click.FloatRange(0),
    default=0.3,
    show_default=True,
    metavar="POINTS",
    help="Greatest loss of test accuracy against Keras, for every file.",
)
@click.option(
    "--min-agreement",
    callback=options.not_nan,
    type=click.FloatRange(0, 100),
    default=99.0,
    show_default=True,
    metavar="PERCENT",
    help="Least share of test images on which a file predicts the same digit as Keras.",
)
@click.option(
    "--data",
    help="For a model of your own also an .npz of arrays, or a folder with a subfolder per class.  "
    "[default: the run's training data]",
)
@click.option(
    "--input-range",
    callback=options.number_range,
    metavar="LOW,HIGH",
    help="The inputs that pixels 0 and 255 become, for a model of your own.  [default: inferred]",
)
@click.option(
    "--labels",
    callback=options.labels,
    metavar="A,B,C|FILE",
    help="The names of the model's outputs in order; in a file one a line. Classes of the data "
    "are found by name.  [default: the data's classes in their order]",
)
@click.option("--out", type=PATH, help="The bundle folder.  [default: RUN/bundle]")
@hf_option
@click.option(
    "--sign",
    type=PATH,
    metavar="KEY",
    help="Sign the bundle with this secret key, of keygen or minisign. Its password is asked for, "
    "or EDGE_MNIST_KEY_PASSWORD.",
)
@config_option
@quiet_option
def export(*, run: Path | None, hf: Path | None, **asked: Any) -> None:
    """Export a RUN (by default the newest) as a bundle: float32 always, others if asked for.

    MODEL may be any Keras image classifier of a fixed size (.keras, .h5 or the folder of a
    SavedModel), with its --data. The device package runs every file on the whole test set before
    the bundle exists.

    --format c, html and triton also take a bundle, such as the shipped `edge` and `nano`, as MODEL.
    """
    bundle = api.export(run, hf=hf, show=click.echo, **asked)
    click.echo(f"\nWrote {bundle.folder}")
    if hf:
        click.echo(f"Wrote {hf}")
