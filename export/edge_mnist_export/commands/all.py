"""The host commands: options only, heavy imports inside."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_mnist.bundle.model_spec import Scaling
from edge_mnist.errors import ModelError

from ..conversion.targets import TARGETS, Target
from ..training import recipes
from ..verification.gate import Gate

if TYPE_CHECKING:
    from edge_mnist import Classifier, datasets

    from ..conversion.source_model import SourceModel
    from ..runs import Recipe, Run

_PATH = click.Path(path_type=Path)
_DATA_HELP = "auto, mnist, synthetic (drawn by edge-mnist), or where MNIST is."


def _report(line: str) -> None:
    click.echo(line, err=True)


def _formats(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    if value is None:
        return None
    formats = tuple(part.strip() for part in value.split(","))
    if not set(formats) <= {"tflite", "onnx"} or len(set(formats)) < len(formats):
        raise click.BadParameter(f"expected tflite, onnx or both, got {value!r}.")
    return formats


def _loadable(formats: tuple[str, ...] | None, target: Target) -> tuple[str, ...]:
    """Return the formats asked for, or all that `target` loads; say what is left out."""
    for format in {"tflite", "onnx"} - set(target.formats):
        if formats and format in formats:
            raise ModelError(
                f"Expected a format that {target.name} can load ({', '.join(target.formats)}), "
                f"got {format}, for which there is no runtime; leave it out of --format, or "
                f"export for another --target."
            )
        if not formats:
            _report(f"No {format} files: {target.name} has no runtime for them")
    return formats or target.formats


def _range(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        low, high = (float(part) for part in value.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise click.BadParameter(f"expected two numbers such as 0,1 or -1,1, got {value!r}.")
    return low, high


def _no_nan(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("expected a number, got nan.")
    return value


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    from ..training.architecture_search import parse_size

    try:
        return parse_size(value)
    except ValueError:
        raise click.BadParameter(f"expected a size such as 15KB or 15KiB, got {value!r}.") from None


@click.command(short_help="Train a CNN and write a run folder.")
@click.option(
    "--arch",
    type=click.Choice(tuple(recipes.RECIPES)),
    help="pico, nano, edge, accurate: the smallest to the largest; seed: the tutorial's.  "
    "[default: edge]",
)
@click.option(
    "--max-size",
    "max_bytes",
    callback=_size,
    metavar="SIZE",
    help="Choose the most accurate whose int8 file is no larger, such as 15KB.",
)
@click.option(
    "--max-latency-us",
    "max_us",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Choose the most accurate that takes no longer: int8, LiteRT, one thread, here.",
)
@click.option(
    "--recipe",
    "name",
    type=click.Choice(recipes.NAMES),
    help="plain: the images as they stand; standard: augmented; full: that for much longer.  "
    "[default: standard; plain for seed]",
)
@click.option(
    "--activation",
    type=click.Choice(("relu", "sigmoid", "tanh")),
    default="relu",
    show_default=True,
    help="Of the hidden layers.",
)
@click.option("--data", default="auto", show_default=True, help=_DATA_HELP)
@click.option("--epochs", type=click.IntRange(1), help="[default: the recipe's]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option(
    "--teacher",
    metavar="MODEL",
    help="A bundle, a .tflite or an .onnx whose answers to learn; none for the labels alone.  "
    "[default: accurate on MNIST, none for seed or plain]",
)
@click.option(
    "--labels",
    type=click.Choice(("sparse", "one-hot")),
    help="What the cross-entropy is taken of.  [default: one-hot; sparse with --recipe plain]",
)
@click.option("--limit", type=click.IntRange(120), help="Only the first N training images.")
@click.option("--out", type=_PATH, help="The run folder.  [default: runs/ARCH-TIME]")
def train(
    arch: str | None,
    max_bytes: int | None,
    max_us: float | None,
    name: str | None,
    activation: str,
    data: str,
    epochs: int | None,
    seed: int,
    teacher: str | None,
    labels: str | None,
    limit: int | None,
    out: Path | None,
) -> None:
    """Train a CNN and write model.keras, run.json, history.csv and curves.png.

    An interrupted run loses at most the running epoch: the same command continues it. Keras
    trains on TensorFlow, or on what KERAS_BACKEND names (tensorflow, jax), and on a GPU where
    that sees one.
    """
    from edge_mnist import datasets

    from ..frameworks import keras_backend
    from ..runs import Recipe
    from ..training import distillation as teachers

    limited = max_bytes is not None or max_us is not None
    if arch and limited:
        raise click.UsageError(
            f"Expected --arch or limits to choose it by, got both; leave --arch {arch} out."
        )
    backend = keras_backend()
    source = datasets.find(data)
    if limited:
        arch = _choose(backend, max_bytes, max_us)
    arch = arch or "edge"
    schedule = recipes.schedule(arch, name)
    taught = teachers.find(teacher, source, distill=schedule.temperature is not None)
    if labels == "sparse" and schedule.augment:
        raise click.UsageError(
            "Expected --labels one-hot with an augmented recipe, which mixes in what is no digit, "
            "got sparse; leave --labels out."
        )
    if taught and not schedule.augment:
        raise click.UsageError(
            "Expected --teacher with an augmented recipe, got one that shows the images as they "
            "stand; give --recipe standard too."
        )
    recipe = Recipe(
        arch=arch,
        activation=activation,
        data=source.kind,
        labels=labels or ("one-hot" if schedule.augment else "sparse"),
        augment=schedule.augment,
        epochs=epochs or schedule.epochs,
        learning_rate=schedule.learning_rate,
        warm_up_epochs=schedule.warm_up_epochs,
        optimizer=schedule.optimizer,
        weight_decay=schedule.weight_decay,
        variants=schedule.variants,
        teacher=teachers.sha256(taught) if taught else None,
        temperature=(schedule.temperature or 1.0) if taught else 1.0,
        seed=seed,
        limit=limit,
        backend=backend,
    )
    run = _train(recipe, source, out, taught)
    click.echo(_summary(run))


def _choose(backend: str, max_bytes: int | None, max_us: float | None) -> str:
    from ..frameworks import load_keras

    if backend != "tensorflow":
        raise click.UsageError(
            f"Expected KERAS_BACKEND=tensorflow with --max-size and --max-latency-us, got "
            f"{backend}; give the --arch that they choose there."
        )
    load_keras(backend)
    from ..training import architecture_search

    _report("Made int8 untrained, weighed and timed here, on LiteRT with one thread:")
    arch, lines = architecture_search.choose(
        architecture_search.measure(), max_bytes=max_bytes, max_us=max_us
    )
    for line in lines:
        _report(f"  {line}")
    return arch


def _train(
    recipe: Recipe, source: datasets.Source, out: Path | None, teacher: Classifier | None = None
) -> Run:
    from .. import runs
    from ..frameworks import load_keras

    folder = runs.place(recipe, out)
    load_keras(recipe.backend)
    from ..training.loop import train

    try:
        with runs.locked(folder):
            return train(recipe, source, folder, _report, teacher)
    except KeyboardInterrupt:
        if any(folder.glob("checkpoint-*.keras")):
            _report(f"The epochs done are kept in {folder}: the same command continues.")
        raise


def _summary(run: Run) -> str:
    results = run.record["results"]
    return (
        f"{run.path}: {run.record['parameters']:,} parameters, test accuracy "
        f"{results['test_accuracy']:.2%} on {results['test_data']} "
        f"(validation {results['validation_accuracy']:.2%}), {run.record['seconds']:.0f} s on "
        f"{run.record['device']}"
    )


@click.command(short_help="Quantize and export a model as a verified bundle.")
@click.argument("run", metavar="[RUN|MODEL.keras]", required=False, type=_PATH)
@click.option("--int8", is_flag=True, help="Integers only, in and out.")
@click.option("--fp16", is_flag=True, help="float16 weights.")
@click.option("--dynamic", is_flag=True, help="int8 weights, float activations.")
@click.option(
    "--format",
    "formats",
    callback=_formats,
    help="tflite, onnx or both.  [default: what the target loads]",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="The fixed batch of the .onnx files, for what takes no open one.  [default: open]",
)
@click.option(
    "--target",
    type=click.Choice(tuple(TARGETS)),
    default="generic",
    show_default=True,
    help="What every file has to load in: see the README.",
)
@click.option(
    "--max-drop",
    callback=_no_nan,
    type=click.FloatRange(0),
    default=0.3,
    show_default=True,
    metavar="POINTS",
    help="How far a file's test accuracy may fall below Keras's.",
)
@click.option(
    "--min-agreement",
    callback=_no_nan,
    type=click.FloatRange(0, 100),
    default=99.0,
    show_default=True,
    metavar="PERCENT",
    help="On how many test images a file must read the digit that Keras reads.",
)
@click.option(
    "--data",
    help="Also an .npz of arrays, or a folder a class, for a model of your own.  "
    "[default: what the run was trained on]",
)
@click.option(
    "--input-range",
    callback=_range,
    metavar="LOW,HIGH",
    help="What pixels 0 and 255 are to a model of your own.  [default: found by trying]",
)
@click.option("--out", type=_PATH, help="The bundle folder.  [default: RUN/bundle]")
def export(
    run: Path | None,
    int8: bool,
    fp16: bool,
    dynamic: bool,
    formats: tuple[str, ...] | None,
    batch: int | None,
    target: str,
    max_drop: float,
    min_agreement: float,
    data: str | None,
    input_range: tuple[float, float] | None,
    out: Path | None,
) -> None:
    """Export a RUN (by default the newest) as a bundle: float32 always, the others as asked.

    Or export any Keras image classifier of a fixed size, MODEL.keras, with its --data. Every
    file is run on the whole test set by the device package before the bundle exists.
    """
    from ..conversion import source_model as source_models

    asked = {"float32": True, "float16": fp16, "dynamic": dynamic, "int8": int8}
    subject = source_models.find(run)
    if input_range:
        subject = replace(subject, scaling=Scaling.between(*input_range))
    loadable = _loadable(formats, TARGETS[target])
    if batch and "onnx" not in loadable:
        raise ModelError(
            f"Expected --batch with .onnx files, got only {', '.join(loadable)}; a .tflite file "
            f"takes one image at a time."
        )
    folder = _export(
        subject,
        data=data,
        out=out or _new_bundle(subject.path.parent),
        formats=loadable,
        batch=batch,
        target=TARGETS[target],
        precisions=tuple(name for name, wanted in asked.items() if wanted),
        gate=Gate(max_drop=max_drop, min_agreement=min_agreement),
        show=click.echo,
    )
    click.echo(f"\nWrote {folder}")


def _new_bundle(run: Path) -> Path:
    """Return RUN/bundle, or RUN/bundle-2, -3 … where that is taken."""
    names = ("bundle", *(f"bundle-{number}" for number in range(2, 1000)))
    return next(run / name for name in names if not (run / name).exists())


def _export(
    subject: SourceModel,
    *,
    out: Path,
    formats: tuple[str, ...],
    precisions: tuple[str, ...],
    gate: Gate,
    show: Callable[[str], None],
    data: str | None = None,
    batch: int | None = None,
    target: Target = TARGETS["generic"],
) -> Path:
    from edge_mnist import datasets
    from edge_mnist.system.files import check_free

    from ..frameworks import load_keras

    check_free(out)
    source = datasets.find(data or subject.data or "auto", own=True)
    load_keras("tensorflow")  # The converters read TensorFlow graphs, whatever trained the model.
    from .. import pipeline

    pipeline.export(
        subject,
        source,
        out,
        formats=formats,
        precisions=precisions,
        batch=batch,
        target=target,
        gate=gate,
        report=_report,
        show=show,
    )
    return out


@click.command(short_help="The whole chain once, small.")
@click.option("--data", default="auto", show_default=True, help=_DATA_HELP)
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True)
@click.option("--out", type=_PATH, help="The run folder.  [default: runs/seed-TIME]")
@click.pass_context
def quickstart(context: click.Context, data: str, epochs: int, out: Path | None) -> None:
    """The whole chain once, small: train, export int8, evaluate, benchmark, what to do next."""
    from edge_mnist import datasets
    from edge_mnist.cli.group import benchmark, evaluate

    from ..conversion import source_model as source_models
    from ..runs import Recipe

    source = datasets.find(data)
    recipe = Recipe(
        arch="seed",
        activation="relu",
        data=source.kind,
        labels="sparse",
        augment=False,
        epochs=epochs,
        seed=0,
    )
    click.echo("\n1/4 train\n")
    run = _train(recipe, source, out)
    click.echo(_summary(run))
    click.echo("\n2/4 export\n")
    tables: list[str] = []
    folder = _export(
        source_models.find(run.path),
        out=_new_bundle(run.path),
        formats=("tflite", "onnx"),
        precisions=("float32", "int8"),
        gate=Gate(),
        show=tables.append,
    )
    click.echo(f"Wrote {folder}")
    click.echo("\n3/4 evaluate\n")
    context.invoke(evaluate, model=str(folder), data=run.data)
    click.echo("\n4/4 benchmark\n")
    context.invoke(benchmark, models=(str(folder),), threads=(1,), quick=True)
    click.echo(_ending(run, folder, tables[0]))


def _ending(run: Run, folder: Path, table: str) -> str:
    made = (path for path in (*run.path.iterdir(), *folder.iterdir()) if path.is_file())
    files = "\n".join(f"  {path}" for path in sorted(made))
    pictures = Path("examples/digits")
    command = f"{_uv_run()}edge-mnist"
    return f"""
Made with {run.record["data"]["train"]["name"]}:
{files}

{table}

Next:
  {command} predict {pictures if pictures.is_dir() else "PICTURE.png"} --model {folder}
  {command} train
  {command} export --int8"""


def _uv_run() -> str:
    """Return what the user has to type before `edge-mnist` again: nothing, or uv's command."""
    if "UV_RUN_RECURSION_DEPTH" not in os.environ:
        return ""
    return "uv run " if shutil.which("uv") else "python3 -m uv run "
