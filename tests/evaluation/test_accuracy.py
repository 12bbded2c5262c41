"""A model of five classes on data of five classes, and on data of ten."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_mnist.evaluation import confusion_matrix
from tests.conftest import WHOLE, Cli
from tests.errors import assert_error

ANIMALS = ("ant", "bee", "cat", "dog", "elk")


def first_row_model() -> bytes:
    """Return an ONNX model whose class is the brightest of the first five pixels."""
    weights = np.zeros((784, 5), np.float32)
    weights[range(5), range(5)] = 20
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "first_row",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 28, 28, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [
            numpy_helper.from_array(np.array([-1, 784]), "flat"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture
def animals(tmp_path: Path) -> tuple[Path, Path]:
    """A bundle of five classes, and a hundred images, of which its model misreads every dog."""
    content = first_row_model()
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model-float32.onnx").write_bytes(content)
    manifest = json.loads((WHOLE / "manifest.json").read_text())
    entry = next(a for a in manifest["artifacts"] if a["file"] == "model-float32.onnx")
    entry |= {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest |= {"labels": ANIMALS, "artifacts": [entry]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    # Every fifth image is of the test split: four of each class.
    labels = np.arange(100) // 5 % 5
    images = np.zeros((100, 28, 28), np.uint8)
    images[range(100), 0, np.where(labels == 3, 4, labels)] = 255
    np.savez(tmp_path / "animals.npz", images=images, labels=labels, classes=ANIMALS)
    return folder, tmp_path / "animals.npz"


def test_the_confusion_matrix_has_the_models_labels(cli: Cli, animals: tuple[Path, Path]) -> None:
    bundle, data = animals
    out = cli("evaluate", bundle, "--data", data, "--backend", "onnx").stdout
    *_, header, ant, bee, cat, dog, elk = out.splitlines()
    assert header.split() == list(ANIMALS)
    assert [line.split() for line in (ant, bee, cat, dog, elk)] == [
        ["ant", "4", "0", "0", "0", "0"],
        ["bee", "0", "4", "0", "0", "0"],
        ["cat", "0", "0", "4", "0", "0"],
        ["dog", "0", "0", "0", "0", "4"],
        ["elk", "0", "0", "0", "0", "4"],
    ]
    (row,) = json.loads(
        cli("evaluate", bundle, "--data", data, "--backend", "onnx", "--json").stdout
    )["results"]
    assert (row["accuracy"], row["errors"]) == (pytest.approx(0.8), 4)


@pytest.mark.parametrize("with_manifest", [True, False])
def test_five_classes_are_refused_on_digits(
    cli: Cli, animals: tuple[Path, Path], tmp_path: Path, with_manifest: bool
) -> None:
    model = animals[0]
    if not with_manifest:
        model = Path(shutil.copy(model / "model-float32.onnx", tmp_path / "mine.onnx"))
    done = cli("evaluate", model, "--data", "synthetic", "--limit", "50", status=2)
    name = "model-float32.onnx" if with_manifest else "mine.onnx"
    # Without a manifest, scalings would be tried on training images first.
    split = "synthetic-test" if with_manifest else "synthetic-train"
    assert_error(done, "model-classes", f"10 classes for {split}", f"{name} with 5")
    assert done.stdout == ""


@pytest.mark.slow
def test_five_classes_are_refused_on_drawn_photographs(
    cli: Cli, animals: tuple[Path, Path]
) -> None:
    done = cli("evaluate", animals[0], "--data", "paper", "--limit", "1", status=2)
    assert_error(done, "model-classes", "10 classes for paper-test")


def test_ten_classes_that_are_no_digits_are_refused_on_digits(cli: Cli, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(WHOLE, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["labels"] = [f"sign {number}" for number in range(10)]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    done = cli("evaluate", bundle, "--data", "synthetic", "--limit", "10", status=2)
    assert_error(done, "model-labels", "sign 0")


def test_confusion_counts_rows_of_truth_and_columns_read() -> None:
    counts = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 1]), classes=3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
