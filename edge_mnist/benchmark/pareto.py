"""What rows say about which to take: the Pareto-best, and where int8 is no gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .statistics import interval, resampled

OVER = "accuracy, p50 and size"
# What processors have for sums of products of 8-bit integers.
_DOT_PRODUCT = {
    "x86": ("VNNI", {"avx512_vnni", "avx_vnni", "amx_int8"}),
    "arm": ("dot-product instructions", {"asimddp", "i8mm"}),
}


def pareto(results: Sequence[dict[str, Any]]) -> list[bool]:
    """Return for each row whether no other is better in one respect and as good in the rest.

    The respects are accuracy, the p50 of `predict` and size. Two medians whose intervals overlap
    are as good as each other. Rows of unknown accuracy are compared by the other two alone, and
    with each other only.
    """
    return [not any(_dominates(other, row) for other in results) for row in results]


def _dominates(other: dict[str, Any], row: dict[str, Any]) -> bool:
    if (other["accuracy"] is None) != (row["accuracy"] is None):
        return False
    (low, high), (other_low, other_high) = _interval(row), _interval(other)
    size, other_size = row["size_bytes"], other["size_bytes"]
    accuracy, other_accuracy = row["accuracy"] or 0.0, other["accuracy"] or 0.0
    as_good = other_low <= high and other_size <= size and other_accuracy >= accuracy
    better = other_high < low or other_size < size or other_accuracy > accuracy
    return as_good and better


def _interval(row: dict[str, Any]) -> tuple[float, float]:
    predict = row["predict_us"]
    low, high = (predict["ci95"] or {}).get("p50", (predict["p50"], predict["p50"]))
    return low, high


def slower_than_float(
    results: Sequence[dict[str, Any]], features: Sequence[str] | None, machine: str
) -> list[str]:
    """Return a sentence for every int8 row that is slower than the float32 one beside it.

    Beside: of the same folder, format, runtime, threads and group. Slower: the 95 % interval of
    the ratio of medians of `invoke` lies above 1; both took turns.
    """
    plain = {_place(row): row for row in results if row["precision"] == "float32"}
    sentences = []
    for row in results:
        beside = plain.get(_place(row))
        if row["precision"] != "int8" or beside is None:
            continue
        drawn = [
            resampled(r["samples_ns"]["invoke"], (0.5,), seed=seed)[:, 0]
            for seed, r in enumerate((row, beside))
        ]
        if interval(drawn[0] / drawn[1], 0.95)[0] > 1:
            ratio = float(np.median(drawn[0] / drawn[1]))
            sentences.append(
                f"{row['label']} takes {ratio:.2f} times as long as float32 here, on "
                f"{row['backend']} with {_threads(row['threads'])}: {_why(features, machine)}"
            )
    return sentences


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["folder"], row["format"], row["backend"], row["threads"], row["group"]


def _why(features: Sequence[str] | None, machine: str) -> str:
    name, wanted = _DOT_PRODUCT["arm" if machine.startswith(("arm", "aarch64")) else "x86"]
    if features is None:
        return "the system does not say what the processor lacks."
    if not wanted & set(features):
        return f"the processor has no {name} for 8-bit integers."
    return f"not for want of {name}, which the processor has."
