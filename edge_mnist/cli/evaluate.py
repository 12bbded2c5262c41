"""edge-mnist evaluate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import GateError
from ..system.strict_json import to_json
from .options import (
    backend_option,
    find_model,
    json_option,
    latest_option,
    name_model,
    quiet_option,
    scaling_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..backends import Runtime
    from ..bundle import Artifact
    from ..bundle.model_spec import Scaling
    from ..datasets import Split
    from ..evaluation import Evaluation
    from ..system.progress import Progress


def _percentage(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | None:
    """Return "99.5" or "99.5%" as 99.5."""
    try:
        percentage = None if value is None else float(value.removesuffix("%"))
    except ValueError:
        percentage = math.nan
    if percentage is not None and not 0 <= percentage <= 100:
        raise click.BadParameter(f"expected a percentage such as 99.5, got {value!r}.")
    return percentage


@click.command(
    short_help="Accuracy of every file on a test set.",
    epilog="\b\nExamples:"
    "\n  edge-mnist evaluate"
    "\n  edge-mnist evaluate model.tflite --data mnist --limit 1000",
)
@click.argument("model", required=False, type=click.Path())
@latest_option
@click.option(
    "--data", default="auto", show_default=True, help="auto, mnist, synthetic, paper or a path."
)
@click.option("--limit", type=click.IntRange(1), help="Only the first N images.")
@click.option(
    "--min-accuracy",
    metavar="PERCENT",
    callback=_percentage,
    help="Exit with 1 if the accuracy of a file is below this.",
)
@backend_option("all that are installed")
@scaling_options
@trust_option
@json_option(help="JSON instead of tables.")
@quiet_option
def evaluate(
    model: str | None,
    latest: bool,
    data: str,
    limit: int | None,
    min_accuracy: float | None,
    backend: str | None,
    scaling: Scaling | None,
    trust: tuple[str, ...] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure the accuracy of every file of MODEL on a test set, in every runtime here.

    MODEL is a bundle, a .tflite or an .onnx file; without it, the shipped bundle `edge`. The
    scaling of pixels of a file without a manifest is tried on 500 labelled images first. With
    --data paper, the file that `predict` would use reads whole drawn photographs; they come with
    the host package.
    """
    from ..backends.selection import choose
    from ..system.progress import Progress

    progress = Progress(quiet=quiet)
    artifacts = find_model(model, latest=latest, trust=trust, scaling=scaling)
    best = choose(artifacts, backend=backend)
    name_model(best[0])
    if data == "paper":
        document, text = _evaluate_pictures(*best, limit, progress)
    else:
        document, text = _evaluate_files(artifacts, best, backend, data, limit, progress)
    click.echo(to_json(document) if as_json else text)
    if min_accuracy is not None:
        _check_accuracies(document, min_accuracy)


def _evaluate_files(
    artifacts: tuple[Artifact, ...],
    best: tuple[Artifact, Runtime],
    backend: str | None,
    data: str,
    limit: int | None,
    progress: Progress,
) -> tuple[dict[str, Any], str]:
    """Return the result for every file and runtime, as JSON and as text."""
    from .. import datasets
    from ..backends.selection import pairs
    from ..bundle.provenance import model_json
    from ..classifier import Classifier
    from ..evaluation.foreign_scaling import settle_scalings
    from ..evaluation.output_bytes import compare_outputs, not_as_recorded
    from ..evaluation.text_report import evaluation_json, evaluation_text

    source = datasets.find(data, splits=("test",), own=True)
    size = Classifier.from_artifact(*best).spec.size
    split = datasets.load(source, "test", limit=limit, shape=size)
    every, scalings = settle_scalings(list(pairs(artifacts, backend)), source, split)
    results = _evaluations(every, split, progress)
    preferred = (best[0].path, best[1].backend)
    shown = next((r for r in results if (r.artifact.path, r.backend) == preferred), results[0])
    outputs = compare_outputs(results, artifacts, split)
    for line in not_as_recorded(outputs, len(split.images)):
        click.echo(f"edge-mnist: warning: {line}", err=True)
    origin = model_json(artifacts)
    document = evaluation_json(
        split.name, results, scalings=scalings, outputs=outputs, model=origin
    )
    return document, evaluation_text(
        split.name, results, shown=shown, scalings=scalings, outputs=outputs
    )


def _check_accuracies(document: Mapping[str, Any], min_accuracy: float) -> None:
    """Raise if the accuracy of a result, in [0, 1], is below `min_accuracy`, in percent."""
    from ..system.text_table import percent

    # The tolerance covers the rounding of fractions: 0.995 may be 99.49999999999999 %.
    low = [r for r in document["results"] if 100 * r["accuracy"] < min_accuracy - 1e-9]
    if low:
        worst = min(low, key=lambda result: result["accuracy"])
        raise GateError(
            f"Expected an accuracy of at least {min_accuracy:g} % on {document['data']}, got "
            f"{percent(worst['accuracy'])} of {worst['file']} on {worst['backend']}.",
            code="gate-accuracy",
        )


def _evaluations(
    pairs: Sequence[tuple[Artifact, Runtime]], split: Split, progress: Progress
) -> list[Evaluation]:
    """Evaluate every pair, and warn of those that cannot be loaded; raise if none can."""
    from ..evaluation.accuracy import evaluate_all

    with progress.bar("Evaluating") as show:
        results, failures = evaluate_all(pairs, split, show)
    for failure in failures:
        click.echo(f"edge-mnist: warning: {failure}", err=True)
    return results


def _evaluate_pictures(
    artifact: Artifact, runtime: Runtime, limit: int | None, progress: Progress
) -> tuple[dict[str, Any], str]:
    """Return the result on drawn photographs, as JSON and as text."""
    from ..bundle.provenance import model_json
    from ..classifier import Classifier
    from ..datasets.split import DIGITS
    from ..evaluation import check_classes, classify_pictures
    from ..evaluation.drawn_photographs import find_drawn_photographs
    from ..evaluation.text_report import pictures_json, pictures_table

    photographs = find_drawn_photographs()
    classifier = Classifier.from_artifact(artifact, runtime)
    check_classes(classifier, DIGITS, data=photographs.NAME)
    total = limit or photographs.COUNT
    drawn = photographs.pictures(total)
    with progress.through(drawn, total, "Reading pictures") as pictures:
        counts = classify_pictures(classifier, pictures)
    names = photographs.NAME, artifact.name, runtime.backend
    document = pictures_json(*names, counts, model=model_json([artifact]))
    lines = [
        f"{photographs.NAME}, {document['images']:,} pictures",
        f"{artifact.name} on {runtime.backend}\n",
        pictures_table(counts),
    ]
    return document, "\n".join(lines)
