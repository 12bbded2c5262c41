"""Rows in; which of them are Pareto-best, and which int8 files are slower than float32, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .statistics import bootstrap, central_interval, p50_interval

OBJECTIVES = "accuracy, p50 and size"
# Processor features that compute dot products of 8-bit integers: their name, and names in /proc.
_DOT_PRODUCT = {
    "x86": ("VNNI", {"avx512_vnni", "avx_vnni", "amx_int8"}),
    "arm": ("dot-product instructions", {"asimddp", "i8mm"}),
}


def pareto_best(results: Sequence[dict[str, Any]]) -> list[bool]:
    """Return for each row whether it is Pareto-best in accuracy, p50 of `predict` and size.

    Medians whose 95 % intervals overlap count as equal. Rows of unknown accuracy are compared
    with each other only, by p50 and size.
    """
    return [not any(_dominates(other, row) for other in results) for row in results]


def _dominates(other: dict[str, Any], row: dict[str, Any]) -> bool:
    if (other["accuracy"] is None) != (row["accuracy"] is None):
        return False
    (low, high), (other_low, other_high) = p50_interval(row), p50_interval(other)
    size, other_size = row["size_bytes"], other["size_bytes"]
    accuracy, other_accuracy = row["accuracy"] or 0.0, other["accuracy"] or 0.0
    as_good = other_low <= high and other_size <= size and other_accuracy >= accuracy
    better = other_high < low or other_size < size or other_accuracy > accuracy
    return as_good and better


def int8_slowdowns(
    results: Sequence[dict[str, Any]], features: Sequence[str] | None, machine: str
) -> list[str]:
    """Return a sentence for every int8 row that is slower than its float32 row.

    The two share folder, format, runtime, threads and group. A row is slower where the 95 %
    confidence interval of the ratio of the medians of `invoke` lies above 1. The reason comes from
    the processor's `features` (None where unknown) and architecture, `machine`.
    """
    float32 = {_setting(row): row for row in results if row["precision"] == "float32"}
    sentences = []
    for row in results:
        base = float32.get(_setting(row))
        if row["precision"] != "int8" or base is None:
            continue
        medians = [
            bootstrap(r["samples_ns"]["invoke"], (0.5,), seed=seed)[:, 0]
            for seed, r in enumerate((row, base))
        ]
        ratios = medians[0] / medians[1]
        if central_interval(ratios, 0.95)[0] > 1:
            threads = "one thread" if row["threads"] == 1 else f"{row['threads']} threads"
            sentences.append(
                f"{row['label']} takes {float(np.median(ratios)):.2f} times as long as float32 "
                f"here, on {row['backend']} with {threads}: {_reason(features, machine)}"
            )
    return sentences


def _setting(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["folder"], row["format"], row["backend"], row["threads"], row["group"]


def _reason(features: Sequence[str] | None, machine: str) -> str:
    name, helpful = _DOT_PRODUCT["arm" if machine.startswith(("arm", "aarch64")) else "x86"]
    if features is None:
        return "the system does not report the processor's features."
    if not helpful & set(features):
        return f"the processor has no {name} for 8-bit integers."
    return f"the cause is unknown; the processor does have {name}."
