"""edge-mnist evaluate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..errors import ModelError
from .options import backend_option, find_model, json_option, quiet_option, scaling_options

if TYPE_CHECKING:
    from ..backends import Runtime
    from ..bundle import Artifact
    from ..bundle.model_spec import Scaling
    from ..datasets import Split
    from ..evaluation import Evaluation
    from ..system.progress import Progress


@click.command(
    short_help="Accuracy of every file on a test set.",
    epilog="\b\nExamples:"
    "\n  edge-mnist evaluate"
    "\n  edge-mnist evaluate model.tflite --data mnist --limit 1000",
)
@click.argument("model", required=False, type=click.Path())
@click.option(
    "--data", default="auto", show_default=True, help="auto, mnist, synthetic, paper or a path."
)
@click.option("--limit", type=click.IntRange(1), help="Only the first N images.")
@backend_option("all that are installed")
@scaling_options
@json_option(help="JSON instead of tables.")
@quiet_option
def evaluate(
    model: str | None,
    data: str,
    limit: int | None,
    backend: str | None,
    scaling: Scaling | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure the accuracy of every file of MODEL on a test set, in every runtime here.

    The scaling of pixels of a file without a manifest is tried on 500 labelled images first. With
    --data paper, the file that `predict` would use reads whole drawn photographs; they come with
    the host package.
    """
    from .. import datasets
    from ..backends.selection import choose, pairs
    from ..classifier import Classifier
    from ..evaluation.foreign_scaling import settle_scalings
    from ..evaluation.text_report import evaluation_json, evaluation_text
    from ..system.progress import Progress

    progress = Progress(quiet=quiet)
    artifacts = find_model(model, scaling)
    best = choose(artifacts, backend=backend)
    if data == "paper":
        _evaluate_pictures(*best, limit, as_json, progress)
        return
    every = list(pairs(artifacts, backend))
    source = datasets.find(data, splits=("test",), own=True)
    size = Classifier.from_artifact(*best).spec.size
    split = datasets.load(source, "test", limit=limit, shape=size)
    every, scalings = settle_scalings(every, source, split)
    results = _evaluations(every, split, progress)
    if as_json:
        click.echo(json.dumps(evaluation_json(split.name, results, scalings)))
        return
    preferred = (best[0].path, best[1].backend)
    shown = next((r for r in results if (r.artifact.path, r.backend) == preferred), results[0])
    click.echo(evaluation_text(split.name, results, shown=shown, scalings=scalings))


def _evaluations(
    pairs: Sequence[tuple[Artifact, Runtime]], split: Split, progress: Progress
) -> list[Evaluation]:
    """Evaluate every pair, and warn of those that cannot be loaded; raise if none can."""
    from ..evaluation import evaluate

    results, failures = [], []
    with progress.bar("Evaluating") as show:
        for number, (artifact, runtime) in enumerate(pairs):
            show(number / len(pairs), f"{artifact.name} on {runtime.backend}")
            try:
                results.append(evaluate(artifact, runtime, split))
            except ModelError as error:
                failures.append(error)
    if not results:
        raise failures[0]
    for failure in failures:
        click.echo(f"edge-mnist: warning: {failure}", err=True)
    return results


def _evaluate_pictures(
    artifact: Artifact, runtime: Runtime, limit: int | None, as_json: bool, progress: Progress
) -> None:
    from ..classifier import Classifier
    from ..evaluation import classify_pictures
    from ..evaluation.drawn_photographs import find_drawn_photographs
    from ..evaluation.text_report import pictures_json, pictures_table

    photographs = find_drawn_photographs()
    classifier = Classifier.from_artifact(artifact, runtime)
    total = limit or photographs.COUNT
    drawn = photographs.pictures(total)
    with progress.through(drawn, total, "Reading pictures") as pictures:
        counts = classify_pictures(classifier, pictures)
    if as_json:
        names = photographs.NAME, artifact.name, runtime.backend
        click.echo(json.dumps(pictures_json(*names, counts)))
        return
    number = sum(count for count, _, _ in counts.values())
    click.echo(f"{photographs.NAME}, {number:,} pictures")
    click.echo(f"{artifact.name} on {runtime.backend}\n")
    click.echo(pictures_table(counts))
