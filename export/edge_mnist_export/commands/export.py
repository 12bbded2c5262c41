"""`edge-mnist export`: options in, a bundle folder out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_mnist.bundle.model_spec import Scaling
from edge_mnist.errors import ModelError
from edge_mnist.system.files import check_free
from edge_mnist.system.progress import Progress

from .. import hub_folder
from ..conversion.targets import TARGETS, Target
from ..verification.gate import Gate
from . import options
from .options import PATH, hf_option, quiet_option

if TYPE_CHECKING:
    from ..conversion.source_model import SourceModel
    from ..pipeline import ExportOptions

# In the order of the bundle's files.
_PRECISIONS = ("float32", "float16", "dynamic", "int8")


@click.command(
    short_help="Quantize and export a model as a verified bundle.",
    epilog="\b\nExamples:"
    "\n  edge-mnist export --int8"
    "\n  edge-mnist export model.keras --data pictures.npz --int8 --out bundle",
)
@click.argument("run", metavar="[RUN|MODEL.keras|MODEL.h5]", required=False, type=PATH)
@click.option("--int8", is_flag=True, help="Integers only, also input and output.")
@click.option("--fp16", "float16", is_flag=True, help="float16 weights.")
@click.option("--dynamic", is_flag=True, help="int8 weights, float activations.")
@click.option(
    "--format",
    "formats",
    callback=options.formats,
    help="tflite, onnx or both.  [default: all that the target loads]",
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
@quiet_option
def export(
    *,
    run: Path | None,
    data: str | None,
    input_range: tuple[float, float] | None,
    labels: tuple[str, ...] | None,
    out: Path | None,
    hf: Path | None,
    quiet: bool,
    **asked: Any,
) -> None:
    """Export a RUN (by default the newest) as a bundle: float32 always, others if asked for.

    MODEL may be any Keras image classifier of a fixed size, with its --data. The device
    package runs every file on the whole test set before the bundle exists.
    """
    from ..conversion import source_model as source_models

    source_model = replace(source_models.find(run), labels=labels)
    if input_range:
        source_model = replace(source_model, scaling=Scaling.between(*input_range))
    out = out or new_bundle_path(source_model.path.parent)
    if hf:
        check_free(hf)
    progress = Progress(quiet=quiet)
    progress.line("Loading TensorFlow and the data")
    export_options = _export_options(progress, **asked)
    run_export(source_model, export_options, progress, data=data, out=out, show=click.echo)
    click.echo(f"\nWrote {out}")
    if hf:
        # A user's own .keras file stays private.
        hub_folder.write(out, hf, keras=source_model.path if source_model.weights_sha256 else None)
        click.echo(f"Wrote {hf}")


def _export_options(
    progress: Progress,
    *,
    formats: tuple[str, ...] | None,
    batch: int | None,
    target: str,
    max_drop: float,
    min_agreement: float,
    **precisions: bool,
) -> ExportOptions:
    from ..pipeline import ExportOptions

    loadable = _check_formats(formats, TARGETS[target], progress)
    if batch and "onnx" not in loadable:
        raise ModelError(
            f"Expected --batch with .onnx files, got only {', '.join(loadable)}; a .tflite file "
            f"takes one image at a time.",
            code="model-batch",
        )
    return ExportOptions(
        formats=loadable,
        precisions=tuple(p for p in _PRECISIONS if precisions.get(p, p == "float32")),
        batch=batch,
        target=TARGETS[target],
        gate=Gate(max_drop, min_agreement),
    )


def _check_formats(
    formats: tuple[str, ...] | None, target: Target, progress: Progress
) -> tuple[str, ...]:
    """Return the formats asked for, or all that the target loads; report the others."""
    for format in {"tflite", "onnx"} - set(target.formats):
        if formats and format in formats:
            raise ModelError(
                f"Expected a format that {target.name} can load ({', '.join(target.formats)}), "
                f"got {format}, for which there is no runtime; leave it out of --format, or "
                f"export for another --target.",
                code="model-target-format",
            )
        if not formats:
            progress.warn(f"No {format} files: {target.name} has no runtime for them")
    return formats or target.formats


def new_bundle_path(run: Path) -> Path:
    """Return RUN/bundle, or the first free one of RUN/bundle-2, RUN/bundle-3, …"""
    names = ("bundle", *(f"bundle-{number}" for number in range(2, 1000)))
    return next(run / name for name in names if not (run / name).exists())


def run_export(
    source_model: SourceModel,
    export_options: ExportOptions,
    progress: Progress,
    *,
    data: str | None = None,
    out: Path,
    show: Callable[[str], None],
) -> None:
    """Locate the data and export; `show` takes the table of verified files."""
    from edge_mnist import datasets

    from .. import pipeline

    check_free(out)  # Before MNIST is downloaded.
    data_source = datasets.find(data or source_model.data or "auto", own=True)
    pipeline.export(source_model, data_source, out, export_options, progress=progress, show=show)
