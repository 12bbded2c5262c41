"""Teachers: the shipped one, and a user's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist.datasets import synthetic
from tests.conftest import Cli
from tests.export.conftest import record

pytestmark = [pytest.mark.slow, pytest.mark.train]

SWAP_4_AND_9 = """
import sys, keras
model = keras.saving.load_model(sys.argv[1])
order = [0, 1, 2, 3, 9, 5, 6, 7, 8, 4]
dense = model.layers[-1]
dense.set_weights([weights[..., order] for weights in dense.get_weights()])
model.save(sys.argv[2])
"""


def test_the_shipped_teacher_teaches_on_mnist_only(cli: Cli, mnist: Path, tmp_path: Path) -> None:
    options = ("--arch", "nano", "--limit", "600", "--epochs", "1", "--out")
    done = cli("train", "--data", mnist, *options, tmp_path / "real")
    assert "the teacher accurate/model-dynamic.tflite" in done.stderr
    assert record(tmp_path / "real")["recipe"]["temperature"] > 1
    # It was not trained on synthetic digits.
    done = cli("train", "--data", "synthetic", *options, tmp_path / "drawn")
    assert "teacher" not in done.stderr
    assert record(tmp_path / "drawn")["recipe"]["teacher"] is None


def test_a_student_learns_the_probabilities_of_its_teacher(
    cli: Cli, run: Path, tmp_path: Path
) -> None:
    # The teacher swaps 4 and 9, which no label does.
    swapped = tmp_path / "swapped.keras"
    subprocess.run([sys.executable, "-c", SWAP_4_AND_9, run / "model.keras", swapped], check=True)
    data = ("--data", "synthetic")
    cli("export", swapped, *data, "--format", "tflite", "--out", tmp_path / "teacher")
    options = ("--arch", "nano", *data, "--limit", "6000", "--epochs", "6")
    done = cli("train", *options, "--teacher", tmp_path / "teacher", "--out", tmp_path / "student")
    assert "the teacher teacher/model-float32.tflite" in done.stderr
    manifest = json.loads((tmp_path / "teacher" / "manifest.json").read_text())
    assert record(tmp_path / "student")["recipe"]["teacher"] == manifest["artifacts"][0]["sha256"]
    cli("export", tmp_path / "student", "--format", "tflite", "--out", tmp_path / "bundle")
    images = synthetic.draw(np.full(200, 4), seed=5)
    digits = Classifier(tmp_path / "bundle").predict_batch(images)
    assert (digits == 9).mean() > 0.8 > 0.1 > (digits == 4).mean()
