"""Evaluations in, tables and JSON for the command line out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..system.text_table import percent, table
from .accuracy import Evaluation
from .foreign_scaling import ForeignScaling
from .output_bytes import Outputs

# By file name and runtime, from `compare_outputs`.
Compared = Mapping[tuple[str, str], Outputs]


def accuracy_table(results: Sequence[Evaluation], outputs: Compared | None = None) -> str:
    """Return one row for each file and runtime."""
    header = ("file", "backend", "accuracy", "errors")
    rows = [[r.artifact.name, r.backend, percent(r.accuracy), str(r.errors)] for r in results]
    if not outputs:
        return table(header, rows)
    for row in rows:
        found = outputs.get((row[0], row[1]))
        row.append("–" if found is None else found.text)
    return table((*header, "outputs"), rows)


def confusion_table(result: Evaluation) -> str:
    """Return the confusion matrix under the model's labels."""
    rows = zip(result.labels, result.confusion, strict=True)
    return table(("", *result.labels), [[label, *map(str, row)] for label, row in rows])


def evaluation_text(
    data: str,
    results: Sequence[Evaluation],
    *,
    shown: Evaluation,
    scalings: Sequence[ForeignScaling] = (),
    outputs: Compared | None = None,
) -> str:
    """Return the accuracy of every file, and the confusion matrix of one.

    Args:
        data: the data set's name.
        results: one evaluation for each file and runtime.
        shown: the evaluation whose confusion matrix is shown.
        scalings: how the scalings of foreign files are known.
        outputs: how the outputs of int8 files compare with the written arithmetic.
    """
    parts = [f"{data}, {results[0].images:,} images", *(scaling.text for scaling in scalings)]
    parts.append(accuracy_table(results, outputs))
    parts.append(
        f"Confusion of {shown.artifact.name} on {shown.backend} on {data}\n"
        f"(rows: the true label; columns: the label read)"
    )
    parts.append(confusion_table(shown))
    return "\n\n".join(parts)


def evaluation_json(
    data: str,
    results: Sequence[Evaluation],
    *,
    scalings: Sequence[ForeignScaling],
    outputs: Compared,
    model: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the document of `evaluate --json`; `model` as `provenance.model_json` returns it."""
    inputs = {scaling.artifact.path: {"input": scaling.document} for scaling in scalings}
    compared = {key: {"outputs": found.document} for key, found in outputs.items()}
    return {
        "data": data,
        "images": results[0].images,
        "model": model,
        "results": [
            {
                "file": result.artifact.name,
                "backend": result.backend,
                "accuracy": result.accuracy,
                "errors": result.errors,
                **inputs.get(result.artifact.path, {}),
                **compared.get((result.artifact.name, result.backend), {}),
            }
            for result in results
        ],
    }


def pictures_table(counts: Mapping[str, tuple[int, int, int]]) -> str:
    """Return one row for each condition of `classify_pictures`, and their sum."""
    total = tuple(sum(column) for column in zip(*counts.values(), strict=True))
    rows = [
        [name, str(count), percent(correct / count), str(rejected)]
        for name, (count, correct, rejected) in {**counts, "all": total}.items()
    ]
    return table(("condition", "pictures", "accuracy", "refused"), rows)


def pictures_json(
    data: str,
    file: str,
    backend: str,
    counts: Mapping[str, tuple[int, int, int]],
    *,
    model: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the document of `evaluate --data paper --json`."""
    pictures, correct, rejected = (sum(column) for column in zip(*counts.values(), strict=True))
    result = {
        "file": file,
        "backend": backend,
        "accuracy": correct / pictures,
        "errors": pictures - correct,
        "refused": rejected,
        "conditions": {name: right / count for name, (count, right, _) in counts.items()},
    }
    return {"data": data, "images": pictures, "model": model, "results": [result]}
