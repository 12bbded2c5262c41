"""The run folders of a sweep in; its rows, their Pareto fronts, and its tables out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_mnist import backends, datasets
from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.classifier import Classifier
from edge_mnist.evaluation import evaluate
from edge_mnist.system.text_table import percent, table

from .. import runs
from ..verification import latency
from .space import Space
from .worker import RESULT

# Latencies whose ratio is below this count as equal: two files of one architecture differ by noise.
_EQUAL_LATENCY = 1.05
_NONE = "–"


@dataclass(frozen=True)
class Row:
    """The result of a trial. Accuracies are fractions.

    Attributes:
        trial: its name.
        options: those that vary in the sweep.
        epochs: of its recipe.
        epochs_trained: fewer, if the scheduler stopped it.
        validation_accuracy: of the Keras model.
        int8_validation_accuracy: of the int8 file, measured with `Classifier`.
        size_bytes: of the int8 file.
        latency_us: of one run of it: LiteRT, one thread.
        fronts: "size", "latency" or both: no other trial has at least its int8 validation accuracy
            with a smaller file, or a lower latency.
        int8_test_accuracy: only of a trial on a front.
        error: why the trial failed; None if it did not.
    """

    trial: str
    options: Mapping[str, Any]
    epochs: int
    epochs_trained: int | None = None
    validation_accuracy: float | None = None
    int8_validation_accuracy: float | None = None
    size_bytes: int | None = None
    latency_us: float | None = None
    fronts: tuple[str, ...] = ()
    int8_test_accuracy: float | None = None
    error: str | None = None
    artifact: Artifact | None = field(default=None, repr=False, compare=False)

    @property
    def stopped(self) -> bool:
        """Whether the scheduler stopped the trial early."""
        return self.epochs_trained is not None and self.epochs_trained < self.epochs

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        values = asdict(replace(self, artifact=None))
        del values["artifact"]
        return {**values, "stopped": self.stopped}


def collect(
    out: Path, space: Space, epochs: Mapping[str, int], errors: Mapping[str, str]
) -> list[Row]:
    """Read the folders of the trials that are done, and measure the latency of their files.

    Args:
        out: the folder of the sweep.
        space: its trials.
        epochs: of the recipes, by the trials' names.
        errors: of the trials that failed, by their names.
    """
    rows = []
    for trial in space.trials:
        options = {name: trial.options[name] for name in space.varied}
        row = Row(trial.name, options, epochs[trial.name], error=errors.get(trial.name))
        rows.append(_read(out / trial.name, row))
    runtime = backends.installed("tflite")[0]
    latency_us = latency.invoke_us(
        {row.trial: Classifier.from_artifact(row.artifact, runtime) for row in rows if row.artifact}
    )
    return _with_fronts([replace(row, latency_us=latency_us.get(row.trial)) for row in rows])


def _read(folder: Path, row: Row) -> Row:
    if not (folder / RESULT).is_file():
        return row
    record, result = runs.read(folder).record, json.loads((folder / RESULT).read_text("utf-8"))
    recipe = runs.Recipe(**record["recipe"])
    spec = ModelSpec(*recipe.shape, labels=tuple(record["labels"]))
    return replace(
        row,
        epochs_trained=record["epochs_trained"],
        validation_accuracy=record["results"]["validation_accuracy"],
        int8_validation_accuracy=result["validation_accuracy"],
        size_bytes=result["size_bytes"],
        artifact=Artifact(
            folder / result["file"], "tflite", "int8", spec, result["size_bytes"], result["sha256"]
        ),
    )


def _with_fronts(rows: Sequence[Row]) -> list[Row]:
    costs: dict[str, tuple[Callable[[Row], float], float]] = {
        "size": (lambda row: row.size_bytes or 0, 1.0),
        "latency": (lambda row: row.latency_us or 0.0, _EQUAL_LATENCY),
    }
    done = [row for row in rows if row.artifact]
    best = {name: front(done, *cost) for name, cost in costs.items()}
    return [
        replace(row, fronts=tuple(name for name, names in best.items() if row.trial in names))
        for row in rows
    ]


def front(rows: Sequence[Row], cost: Callable[[Row], float], equal: float) -> set[str]:
    """Return the names of the Pareto-best rows in int8 validation accuracy and a cost.

    Args:
        rows: of trials that are done.
        cost: of a row.
        equal: costs whose ratio is at most this count as equal.
    """

    def dominates(other: Row, row: Row) -> bool:
        accuracies = [r.int8_validation_accuracy or 0.0 for r in (other, row)]
        as_good = accuracies[0] >= accuracies[1] and cost(other) <= cost(row) * equal
        return as_good and (accuracies[0] > accuracies[1] or cost(other) * equal < cost(row))

    return {row.trial for row in rows if not any(dominates(other, row) for other in rows)}


def with_test(rows: Sequence[Row], test: datasets.Split) -> list[Row]:
    """Measure the int8 files on the Pareto fronts, and no others, on the test set."""
    runtime = backends.installed("tflite")[0]
    return [
        replace(row, int8_test_accuracy=evaluate(row.artifact, runtime, test).accuracy)
        if row.fronts and row.artifact
        else row
        for row in rows
    ]


def text(rows: Sequence[Row]) -> str:
    """Return the table that the command prints, and a line for each error."""
    header = ("trial", "epochs", "validation", "int8", "bytes", "µs", "Pareto front", "int8, test")
    cells = [
        [
            row.trial,
            _epochs(row),
            _percent(row.validation_accuracy),
            _percent(row.int8_validation_accuracy),
            _NONE if row.size_bytes is None else f"{row.size_bytes:,}",
            _NONE if row.latency_us is None else f"{row.latency_us:.1f}",
            ", ".join(row.fronts),
            _percent(row.int8_test_accuracy),
        ]
        for row in rows
    ]
    errors = [f"{row.trial} failed: {row.error}" for row in rows if row.error]
    return "\n".join([table(header, cells), *(["", *errors] if errors else [])])


def _epochs(row: Row) -> str:
    if row.epochs_trained is None:
        return _NONE
    return f"{row.epochs_trained} of {row.epochs}" if row.stopped else str(row.epochs_trained)


def _percent(fraction: float | None) -> str:
    return _NONE if fraction is None else percent(fraction)


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV: a column for each option that varies, then the measurements."""
    out = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        values = row.to_dict()
        options = values.pop("options")
        flat = {"trial": values.pop("trial"), **options, **values, "fronts": " ".join(row.fronts)}
        if writer is None:
            writer = csv.DictWriter(out, [*flat], lineterminator="\n")
            writer.writeheader()
        writer.writerow(flat)
    return out.getvalue()
