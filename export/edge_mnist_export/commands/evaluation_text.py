"""TEMPORARY, until `edge_mnist.evaluation.text_report` exists: evaluations in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_mnist.evaluation import Evaluation
from edge_mnist.system.text_table import percent, table


def evaluation_text(
    split_name: str, results: Sequence[Evaluation], *, preferred: tuple[Path, str]
) -> str:
    """Return the accuracy table of all results, and the confusion matrix of the preferred one."""
    rows = [[r.artifact.name, r.backend, percent(r.accuracy), str(r.errors)] for r in results]
    chosen = next(r for r in results if (r.artifact.path, r.backend) == preferred)
    counts = [[str(digit), *map(str, row)] for digit, row in enumerate(chosen.confusion)]
    return "\n".join(
        [
            f"{split_name}, {results[0].images:,} images\n",
            table(("file", "backend", "accuracy", "errors"), rows),
            f"\nConfusion of {chosen.artifact.name} on {chosen.backend} on {split_name}",
            "(rows: the true digit; columns: the digit read)\n",
            table(("", *map(str, range(10))), counts),
        ]
    )
