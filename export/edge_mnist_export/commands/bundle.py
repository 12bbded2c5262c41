"""`edge-mnist bundle`: a foreign model file in, a bundle folder out."""

from __future__ import annotations

from pathlib import Path

import click

from edge_mnist.bundle.model_spec import Scaling
from edge_mnist.system.progress import Progress

from . import options
from .options import PATH, hf_option, quiet_option


@click.command(
    short_help="Verify a .tflite or .onnx file from elsewhere; write a bundle.",
    epilog="\b\nExamples:"
    "\n  edge-mnist bundle model.onnx --data mnist"
    "\n  edge-mnist bundle model.tflite --data pictures --labels cat,dog --out pets",
)
@click.argument("model", type=PATH)
@click.option(
    "--data",
    required=True,
    help="auto, mnist, synthetic, the path of MNIST, an .npz of arrays, or a folder with a "
    "subfolder per class.",
)
@click.option(
    "--scale",
    callback=options.numbers,
    metavar="NUMBER",
    help="Multiply pixels in 0…255 by this: 1, 1/255, …  [default: what training images fit best]",
)
@click.option(
    "--mean",
    callback=options.numbers,
    metavar="NUMBER",
    help="Subtract this, after --scale: one number, or one a channel.",
)
@click.option(
    "--std",
    callback=options.numbers,
    metavar="NUMBER",
    help="Divide by this, after --mean: one number, or one a channel.",
)
@click.option(
    "--labels",
    callback=options.labels,
    metavar="A,B,C|FILE",
    help="The names of the model's outputs in order; in a file one a line. Classes of the data "
    "are found by name.  [default: those in the file, or the data's classes in their order]",
)
@click.option("--out", type=PATH, help="The bundle folder.  [default: MODEL without its suffix]")
@hf_option
@quiet_option
def bundle(
    model: Path,
    data: str,
    scale: tuple[float, ...] | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    labels: tuple[str, ...] | None,
    out: Path | None,
    hf: Path | None,
    quiet: bool,
) -> None:
    """Write a bundle from MODEL, a .tflite or .onnx file that edge-mnist did not write.

    The scaling of pixels and the order of the labels are checked on training images. The file,
    unchanged, then runs on the whole test set in every installed runtime.
    """
    from edge_mnist import datasets
    from edge_mnist.evaluation.text_report import accuracy_table
    from edge_mnist.system.files import check_free

    from ..bundles import foreign_bundle, hub_folder

    if scale and len(scale) != 1:
        raise click.UsageError("Expected one number for --scale; --mean takes one a channel.")
    scaling = Scaling.given(scale[0] if scale else None, mean, std)
    artifact = foreign_bundle.find(model, scaling=scaling)
    out = out or model.with_suffix("")
    check_free(out)  # Before MNIST is downloaded.
    if hf:
        hub_folder.check_place(hf, out)
    source = datasets.find(data, own=True)
    progress = Progress(quiet=quiet)
    results = foreign_bundle.bundle(artifact, source, out, labels=labels, progress=progress)
    click.echo(f"{accuracy_table(results)}\n\nWrote {out}")
    if hf:
        hub_folder.write(out, hf)
        click.echo(f"Wrote {hf}")
