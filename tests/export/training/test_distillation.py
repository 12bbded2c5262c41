"""Teachers: the shipped one, and a user's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge_mnist.datasets import synthetic
from tests.conftest import Cli
from tests.export.conftest import record

pytestmark = [pytest.mark.slow, pytest.mark.train]


def test_the_shipped_teacher_teaches_on_mnist_only(host: Cli, mnist: Path, tmp_path: Path) -> None:
    options = ("--arch", "nano", "--limit", "600", "--epochs", "1", "--out")
    done = host("train", "--data", mnist, *options, tmp_path / "real")
    assert "the teacher accurate/model-dynamic.tflite" in done.stderr
    assert record(tmp_path / "real")["recipe"]["temperature"] > 1
    # It was not trained on synthetic digits.
    done = host("train", "--data", "synthetic", *options, tmp_path / "drawn")
    assert "teacher" not in done.stderr
    assert record(tmp_path / "drawn")["recipe"]["teacher"] is None


def swap_4_and_9(source: Path, out: Path) -> None:
    """Write an ONNX file whose outputs for 4 and 9 are swapped."""
    import onnx

    model = onnx.load(source)
    (dense,) = (node for node in model.graph.node if node.op_type == "Gemm")
    order = [0, 1, 2, 3, 9, 5, 6, 7, 8, 4]
    for tensor in model.graph.initializer:
        if tensor.name in dense.input:
            values = onnx.numpy_helper.to_array(tensor)
            swapped = values[order] if len(values) == 10 else values[:, order]
            tensor.CopyFrom(onnx.numpy_helper.from_array(swapped.copy(), tensor.name))
    onnx.save(model, out)


def test_a_student_learns_the_probabilities_of_its_teacher(
    host: Cli, bundle: Path, tmp_path: Path
) -> None:
    import keras

    # The teacher swaps 4 and 9, which no label does.
    teacher = tmp_path / "teacher" / "swapped.onnx"
    teacher.parent.mkdir()
    swap_4_and_9(bundle / "model-float32.onnx", teacher)
    options = ("--arch", "nano", "--data", "synthetic", "--limit", "5000", "--epochs", "6")
    done = host("train", *options, "--teacher", teacher, "--out", tmp_path / "student")
    assert "the teacher teacher/swapped.onnx" in done.stderr
    sha256 = hashlib.sha256(teacher.read_bytes()).hexdigest()
    assert record(tmp_path / "student")["recipe"]["teacher"] == sha256
    student = keras.saving.load_model(tmp_path / "student" / "model.keras", compile=False)
    images = synthetic.draw(np.full(200, 4), seed=5)
    probabilities = student.predict(images[..., np.newaxis] / np.float32(255), verbose=0)
    digits = probabilities.argmax(axis=1)
    assert (digits == 9).mean() > 0.8 > 0.1 > (digits == 4).mean()
