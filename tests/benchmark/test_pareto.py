"""Which rows are Pareto-best, and which int8 files are slower than float32."""

from __future__ import annotations

import pytest

from edge_mnist.benchmark.pareto import int8_slowdowns, pareto_best
from tests.benchmark.rows import row


def test_a_row_is_pareto_best_if_no_other_dominates_it() -> None:
    fast, small, right = row(us=10), row(size=100), row(accuracy=0.995)
    worse = row(us=11, size=2000)
    assert pareto_best([fast, small, right, worse]) == [True, True, True, False]
    # Equally fast within the interval, and smaller.
    assert pareto_best([row(size=2000), row(us=20.001, size=1000)]) == [False, True]
    assert pareto_best([row(), row()]) == [True, True]


def test_rows_of_unknown_accuracy_are_compared_with_each_other() -> None:
    known, unknown, slow = row(us=5), row(us=10, accuracy=None), row(us=20, accuracy=None)
    assert pareto_best([known, unknown, slow]) == [True, True, False]


@pytest.mark.parametrize(
    ("features", "system", "why"),
    [
        (["avx2"], "x86_64", "the processor has no VNNI for 8-bit integers."),
        (["avx2", "avx_vnni"], "x86_64", "the cause is unknown; the processor does have VNNI."),
        (["asimd"], "aarch64", "the processor has no dot-product instructions for 8-bit"),
        (None, "armv7l", "the system does not report the processor's features."),
    ],
)
def test_an_int8_file_slower_than_float32_is_named_with_the_reason(
    features: list[str] | None, system: str, why: str
) -> None:
    plain, slow = row(us=20), row(us=25, precision="int8", label="i8.tflite")
    (sentence,) = int8_slowdowns([plain, slow], features, system)
    assert sentence.startswith("i8.tflite takes 1.25 times as long as float32 here, on litert")
    assert why in sentence
    assert int8_slowdowns([plain, row(us=15, precision="int8")], features, system) == []
    elsewhere = row(us=25, precision="int8", threads=2)
    assert int8_slowdowns([plain, elsewhere], features, system) == []
