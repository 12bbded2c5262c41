"""Labels that do not fit the outputs of a model: permuted, unknown, or read by chance."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier
from edge_mnist.datasets import Split
from edge_mnist_export.conversion.label_order import best_order, check, in_output_order
from tests.conftest import Cli
from tests.errors import assert_error, error_line, raises

ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PERMUTED = np.array([3, 0, 4, 1, 2])


def split(labels: np.ndarray, classes: tuple[str, ...] = tuple("abcde")) -> Split:
    return Split("own-x-train", np.zeros((len(labels), 4, 4, 1), np.uint8), labels, "", classes)


def noisy(labels: np.ndarray, accuracy: float, *, classes: int = 5) -> np.ndarray:
    """Return predictions of which this fraction is right, and the others are drawn."""
    rng = np.random.default_rng(0)
    drawn = (labels + rng.integers(1, classes, len(labels))) % classes
    return np.where(rng.random(len(labels)) < accuracy, labels, drawn)


def labels_of(count: int, classes: int = 5) -> np.ndarray:
    return (np.arange(count) % classes).astype(np.uint8)


def verdict(predicted: np.ndarray, labels: np.ndarray, classes: int = 5) -> None:
    check([predicted], labels, split(labels, tuple(map(str, range(classes)))), "the images")


@pytest.mark.parametrize("accuracy", [0.6, 0.8, 1.0])
def test_permuted_labels_are_refused_with_the_option_that_repairs_them(accuracy: float) -> None:
    labels = labels_of(500)
    # Output i predicts the class PERMUTED[i].
    outputs = np.argsort(PERMUTED)[noisy(labels, accuracy)]
    with raises("data-label-order", "got a, b, c, d, e: accuracy", "--labels d,a,e,b,c;"):
        check([np.zeros_like(labels), outputs], labels, split(labels), "500 images")


def test_two_exchanged_classes_are_found() -> None:
    labels = labels_of(500, 10)
    exchanged = np.array([0, 1, 2, 7, 4, 5, 6, 3, 8, 9])[labels]
    with raises("data-label-order", "0,1,2,7,4,5,6,3,8,9", "80.00 %", "100.00 %"):
        verdict(exchanged, labels, 10)


@pytest.mark.parametrize(("accuracy", "classes"), [(0.3, 10), (0.35, 10), (0.6, 5), (0.65, 2)])
def test_a_badly_trained_model_is_exported(accuracy: float, classes: int) -> None:
    labels = labels_of(500, classes)
    verdict(noisy(labels, accuracy, classes=classes), labels, classes)
    # Also one that always confuses two classes of ten.
    one_for_two = np.where(labels == 1, 0, labels)
    verdict(one_for_two, labels, classes) if classes > 2 else None


def test_predictions_by_chance_are_refused() -> None:
    labels = labels_of(500)
    message = ("model-chance", "20.00 % on", "chance is 20.00 %;", "in this order: 0, 1, 2, 3, 4.")
    with raises(*message):
        verdict(np.zeros_like(labels), labels)
    drawn = np.random.default_rng(1).integers(0, 5, 500)
    with raises("model-chance"):
        verdict(drawn, labels)
    # A class of 90 % of the images makes 90 % of accuracy chance.
    rare = (np.arange(500) % 10 == 0).astype(np.uint8)
    with raises("model-chance", "90.00 % on", "chance is 90.00 %;"):
        verdict(np.zeros_like(rare), rare, 2)
    # Of ten images chance reads any number.
    verdict(np.zeros(10, np.uint8), labels_of(10))


def test_the_best_order_is_a_permutation_also_where_outputs_are_silent() -> None:
    labels = labels_of(100)
    assert best_order(np.zeros_like(labels), labels, 5).tolist() == [0, 1, 2, 3, 4]
    silent = np.where(labels == 2, 4, labels)
    assert sorted(best_order(silent, labels, 5)) == [0, 1, 2, 3, 4]


def test_labels_order_classes_by_name_and_name_numbers() -> None:
    data = split(np.array([0, 1, 2], np.uint8), ("cat", "dog", "owl"))
    ordered = in_output_order(data, ("owl", "cat", "dog"))
    assert ordered.classes == ("owl", "cat", "dog")
    assert ordered.labels.tolist() == [1, 2, 0]
    numbers = split(np.array([0, 1, 2], np.uint8), ("0", "1", "2"))
    assert in_output_order(numbers, ("owl", "cat", "dog")).labels.tolist() == [0, 1, 2]
    assert in_output_order(numbers, ("2", "0", "1")).labels.tolist() == [1, 2, 0]
    with raises("data-label-names", "(cat, dog, owl)", "got emu;"):
        in_output_order(data, ("owl", "cat", "emu"))
    with raises("data-label-count", "Expected 3 labels", "got 2 (cat, dog)"):
        in_output_order(data, ("cat", "dog"))


@pytest.fixture
def mine(run: Path, tmp_path: Path) -> Path:
    """A model of digits without its run."""
    return Path(shutil.copy(run / "model.keras", tmp_path / "mine.keras"))


def test_permuted_data_are_refused_and_the_named_option_exports(
    host: Cli, mine: Path, digits: Path, tmp_path: Path
) -> None:
    with np.load(digits) as arrays:
        permuted = {key: arrays[key] if key[0] == "x" else (arrays[key] + 3) % 10 for key in arrays}
    np.savez(tmp_path / "permuted.npz", **permuted)
    asked = ("export", mine, "--data", tmp_path / "permuted.npz", "--format", "onnx")
    out = tmp_path / "b"
    refused = host(*asked, "--out", out, status=2)
    assert_error(refused, "data-label-order", "--labels 3,4,5,6,7,8,9,0,1,2;")
    assert not out.exists()
    option = re.search(r"--labels (\S+);", error_line(refused))
    assert option
    host(*asked, "--out", out, "--labels", option[1])
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["labels"] == option[1].split(",")
    assert manifest["artifacts"][0]["accuracy"] > 0.9
    # The device finds the classes of the data by name.
    done = host("evaluate", out, "--data", tmp_path / "permuted.npz", "--json")
    assert json.loads(done.stdout)["results"][0]["accuracy"] > 0.9


def test_folders_in_another_order_than_the_outputs(
    host: Cli, mine: Path, digits: Path, tmp_path: Path
) -> None:
    with np.load(digits) as arrays:
        images, labels = arrays["x_train"][:600], arrays["y_train"][:600]
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "pictures" / ENGLISH[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:03}.png")
    asked = ("export", mine, "--data", tmp_path / "pictures", "--format", "onnx")
    out = tmp_path / "b"
    refused = host(*asked, "--out", out, status=2)
    assert_error(refused, "data-label-order", f"--labels {','.join(ENGLISH)};")
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(ENGLISH) + "\n")
    host(*asked, "--out", out, "--labels", names)
    assert Classifier(out).labels == ENGLISH
    done = host("evaluate", out, "--data", tmp_path / "pictures", "--json")
    assert json.loads(done.stdout)["results"][0]["accuracy"] > 0.9


def test_a_run_of_digits_can_be_given_names(host: Cli, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "b"
    host("export", run, "--format", "onnx", "--labels", ",".join(ENGLISH), "--out", out)
    assert Classifier(out).labels == ENGLISH


@pytest.mark.parametrize("labels", ["one", "one,one", "one,,two", "nowhere.txt"])
def test_bad_labels_are_named(host: Cli, labels: str) -> None:
    done = host("export", "--labels", labels, status=2)
    assert "expected different names such as zero,one,two" in error_line(done)
