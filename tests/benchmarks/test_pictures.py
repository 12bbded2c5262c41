"""benchmarks/pictures.py: figures of composed pictures, the curve and the calibration."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("pictures")


def readings(pictures: Any, rows: list[tuple[str, int, float]]) -> Any:
    """Return readings of pictures: true digits, the model's digit (-1: none), its confidence."""
    probabilities = np.zeros((len(rows), 10))
    for number, (_, digit, confidence) in enumerate(rows):
        if digit >= 0:
            probabilities[number] = (1 - confidence) / 9
            probabilities[number, digit] = confidence
    return pictures.Readings(
        ["plain"] * len(rows),
        [text for text, _, _ in rows],
        probabilities,
        probabilities.max(axis=1) >= 0.6,
    )


def test_the_table_counts_refusals_as_errors(pictures: Any) -> None:
    one = readings(pictures, [("1", 1, 0.9), ("2", 2, 0.5), ("3", 4, 0.8), ("5", -1, 0.0)])
    text = pictures.table({"clean": one}, conditions=False)
    assert "| clean | 4 | 25.00 % | 50.00 % | 50.00 % | 25.00 % |" in text


def test_the_curve_leaves_out_pictures_in_which_nothing_was_found(pictures: Any) -> None:
    one = readings(pictures, [("1", 1, 0.9), ("2", 2, 0.47), ("3", 4, 0.8), ("5", -1, 0.0)])
    others = readings(pictures, [("", 7, 0.7), ("", -1, 0.0)])
    rows = pictures.curve_table(one, others).splitlines()
    assert "| 0.50 | 1 | 0 | 1 | 50.00 % |" in rows
    assert "| 0.90 | 1 | 1 | 0 | 0.00 % |" in rows


def test_temperature_keeps_the_digit_and_repairs_the_confidence(pictures: Any) -> None:
    # Nine of ten answers are right, and the model says 0.6.
    one = readings(pictures, [("1", 1, 0.6)] * 9 + [("2", 1, 0.6)])
    temperature = pictures.choose_temperature(one)
    assert temperature < 1
    softened = pictures.soften(one.probabilities, temperature)
    assert softened.sum(axis=1) == pytest.approx(1)
    assert (softened.argmax(axis=1) == 1).all()
    assert softened.max() == pytest.approx(0.9, abs=0.02)
    assert pictures.calibration_error(one) == pytest.approx(0.3, abs=1e-6)
    assert pictures.calibration_error(one, temperature) < 0.02


def test_it_reads_pictures_and_writes_what_was_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, FOLDER / "pictures.py", "--data", "synthetic", "--split", "test"]
    options = ["--sets", "form cells,low resolution", "--count", "9", "--model", "nano"]
    outputs = ["--json", tmp_path / "a.json", "--plot", tmp_path, "--sheets", tmp_path]
    done = subprocess.run([*command, *options, *outputs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| form cells | 9 |" in done.stdout and "ECE, temperature" in done.stdout
    document = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert document["form cells"]["texts"] == ["0"] * 9
    assert (tmp_path / "reliability.svg").read_text(encoding="utf-8").count("<svg") == 1
    assert (tmp_path / "low-resolution.png").is_file()


def test_an_unknown_set_is_one_line() -> None:
    command = [sys.executable, FOLDER / "pictures.py", "--data", "synthetic", "--sets", "stamps"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Expected names out of photographs, form cells" in done.stderr
