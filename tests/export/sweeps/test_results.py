"""Rows of a sweep: Pareto fronts, table, CSV and plot."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from edge_mnist.bundle import Artifact
from edge_mnist_export.sweeps import plot, results
from edge_mnist_export.sweeps.results import Row


def row(name: str, accuracy: float, size: int, us: float, **details: object) -> Row:
    file = Artifact(Path(name), "tflite", "int8", None)
    values = {"epochs_trained": 4, "validation_accuracy": accuracy, **details}
    return Row(
        name,
        {"arch": "nano", "seed": 0},
        4,
        int8_validation_accuracy=accuracy,
        size_bytes=size,
        latency_us=us,
        artifact=file,
        **values,  # type: ignore[arg-type]
    )


def size(one: Row) -> float:
    return float(one.size_bytes or 0)


def test_a_front_has_the_trials_that_no_other_beats() -> None:
    rng = np.random.default_rng(0)
    rows = [
        row(str(i), float(rng.integers(90, 99)) / 100, int(rng.integers(1, 9)), 1.0)
        for i in range(60)
    ]
    beaten = {
        one.trial
        for one, other in itertools.product(rows, rows)
        if (other.int8_validation_accuracy, -size(other))
        != (one.int8_validation_accuracy, -size(one))
        and (other.int8_validation_accuracy or 0) >= (one.int8_validation_accuracy or 0)
        and size(other) <= size(one)
    }
    assert results.front(rows, size, 1.0) == {one.trial for one in rows} - beaten


def test_latencies_that_differ_by_noise_count_as_equal() -> None:
    def us(one: Row) -> float:
        return one.latency_us or 0.0

    rows = [row("better", 0.99, 1, 10.2), row("same", 0.98, 1, 10.0), row("fast", 0.9, 1, 5.0)]
    assert results.front(rows, us, 1.05) == {"better", "fast"}
    assert results.front(rows, us, 1.0) == {"better", "same", "fast"}


ROWS = [
    row("best", 0.991, 12_000, 9.0, fronts=("size", "latency"), int8_test_accuracy=0.9876),
    row("stopped", 0.95, 12_000, 9.0, epochs_trained=2),
    Row("failed", {"arch": "nano", "seed": 1}, 4, error="its process died (OutOfMemoryError)"),
]


def test_the_table_has_a_row_for_each_trial_and_a_line_for_each_error() -> None:
    lines = results.text(ROWS).splitlines()
    assert " ".join(lines[1].split()) == "best 4 99.10 % 99.10 % 12,000 9.0 size, latency 98.76 %"
    assert " ".join(lines[2].split()) == "stopped 2 of 4 95.00 % 95.00 % 12,000 9.0 –"
    assert lines[3].split() == ["failed", "–", "–", "–", "–", "–", "–"]
    assert lines[4:] == ["", "failed failed: its process died (OutOfMemoryError)"]


def test_the_csv_has_a_column_for_each_option() -> None:
    table = [*csv.DictReader(io.StringIO(results.as_csv(ROWS)))]
    assert [(line["trial"], line["arch"], line["seed"]) for line in table] == [
        ("best", "nano", "0"),
        ("stopped", "nano", "0"),
        ("failed", "nano", "1"),
    ]
    assert [line["stopped"] for line in table] == ["False", "True", "False"]
    assert table[0]["fronts"] == "size latency"
    assert table[2]["error"] == ROWS[2].error


def test_the_plot_is_the_same_again_and_names_the_front() -> None:
    drawn = plot.draw(ROWS, "mnist")
    assert drawn == plot.draw(ROWS, "mnist")
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    # matplotlib writes the text of its glyphs into a comment. One trial is on both fronts.
    assert drawn.count("<!-- nano, seed 0 -->") == 2
    assert drawn.count("<!-- nano, seed") == 2
