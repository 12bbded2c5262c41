"""The folder for the Hugging Face Hub, as the Hub's own package reads it, without a network."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist_export.bundles import hub_folder
from tests.conftest import WHOLE, Cli, drawn_bundle
from tests.docs.blocks import read_blocks
from tests.errors import assert_error, raises

hub = pytest.importorskip("huggingface_hub", reason="needs huggingface-hub")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any request to the Hub fails."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def card_of(folder: Path) -> Any:
    return hub.ModelCard.load(folder / "README.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a bundle that was trained on MNIST."""
    hub_folder.write(WHOLE, tmp_path / "digits")
    return tmp_path / "digits"


def manifest_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def test_the_hub_reads_the_metadata(folder: Path) -> None:
    data = card_of(folder).data
    assert (data.license, data.library_name) == ("mit", "edge-mnist")
    assert data.pipeline_tag == "image-classification"
    assert data.datasets == ["ylecun/mnist"]
    assert data.metrics == ["accuracy"]
    assert data.tags == ["edge-mnist", "tflite", "onnx"]
    assert data.model_name == "digits"


def test_the_results_are_the_verified_accuracies(folder: Path) -> None:
    results = card_of(folder).data.eval_results
    artifacts = manifest_of(folder)["artifacts"]
    assert [(r.metric_name, r.metric_value) for r in results] == [
        (f"accuracy of {entry['file']}", entry["accuracy"]) for entry in artifacts
    ]
    for result in results:
        assert (result.task_type, result.metric_type) == ("image-classification", "accuracy")
        assert (result.dataset_type, result.dataset_split) == ("ylecun/mnist", "test")
        assert result.dataset_name == "MNIST"


def test_the_metadata_survive_the_hub_s_own_functions(folder: Path, tmp_path: Path) -> None:
    card = card_of(folder)
    written = hub.metadata_load(folder / "README.md")
    # What the Hub's classes make of it is what was written.
    assert card.data.to_dict() == written
    name, results = hub.repocard_data.model_index_to_eval_results(written["model-index"])
    assert hub.repocard_data.eval_results_to_model_index(name, results) == written["model-index"]
    card.save(tmp_path / "again.md")
    again = hub.ModelCard.load(tmp_path / "again.md")
    assert again.data.to_dict() == written and again.text.strip() == card.text.strip()
    hub.metadata_save(tmp_path / "again.md", {**written, "license": "apache-2.0"})
    assert hub.ModelCard.load(tmp_path / "again.md").data.license == "apache-2.0"


def test_the_folder_is_a_bundle_and_its_example_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in WHOLE.iterdir()} | {"README.md"}
    assert np.array_equal(
        Classifier(folder).predict_probabilities(np.zeros((1, 28, 28), np.uint8)),
        Classifier(WHOLE).predict_probabilities(np.zeros((1, 28, 28), np.uint8)),
    )
    (block,) = read_blocks(folder / "README.md")
    assert len(block.text.split("\n\n")[0].splitlines()) == 1
    digits = Path(__file__).parents[2] / "examples" / "digits"
    shutil.copy(digits / "7.png", folder.parent / "picture.png")
    monkeypatch.chdir(folder.parent)
    exec(block.text, {})
    assert "digit=7" in capsys.readouterr().out


def test_the_text_has_the_figures_of_the_manifest(folder: Path) -> None:
    text, manifest = card_of(folder).text, manifest_of(folder)
    for entry in manifest["artifacts"]:
        row = f"| `{entry['file']}` | {entry['size_bytes']:,} | {entry['accuracy']:.2%} "
        assert row.replace("%", " %") in text
    assert "19,610 parameters" in text and "10,000 images of `mnist-test`" in text
    assert manifest["training"]["data"]["sha256"] in text
    assert "Below a confidence of 0.679" in text and "drawn digits" not in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links == ["https://github.com/edge-mnist/edge-mnist"]


def test_a_model_that_saw_only_drawn_digits_is_called_that(tmp_path: Path) -> None:
    hub_folder.write(drawn_bundle(tmp_path / "b"), tmp_path / "drawn")
    card = card_of(tmp_path / "drawn")
    assert "**This model saw only drawn digits.**" in card.text
    assert "On handwriting it was not measured." in card.text
    assert card.data.datasets is None
    assert {result.dataset_type for result in card.data.eval_results} == {"synthetic"}


def test_the_card_of_a_foreign_file(host: Cli, digits: Path, tmp_path: Path) -> None:
    shutil.copy(WHOLE / "model-float32.onnx", tmp_path / "mine.onnx")
    asked = ("--data", digits, "--labels", "a,b,c,d,e,f,g,h,i,j", "--hf", tmp_path / "hub")
    done = host("bundle", tmp_path / "mine.onnx", *asked)
    assert done.stdout.endswith(f"Wrote {tmp_path / 'hub'}\n")
    card = card_of(tmp_path / "hub")
    assert card.data.license == "unknown" and card.data.datasets is None
    (result,) = card.data.eval_results
    assert (result.dataset_type, result.dataset_split) == ("own-digits", "test")
    assert "edge-mnist did not train this model" in card.text
    assert "The classes are: a, b, c, d, e, f, g, h, i, j." in card.text
    assert "mnist-train" not in card.text and "no answer" not in card.text


def test_a_run_brings_its_keras_model(host: Cli, run: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "b", tmp_path / "hub"
    done = host("export", run, "--format", "tflite", "--out", out, "--hf", folder)
    assert done.stdout.endswith(f"Wrote {out}\nWrote {folder}\n")
    assert (folder / "model.keras").read_bytes() == (run / "model.keras").read_bytes()
    card = card_of(folder)
    assert card.data.tags == ["edge-mnist", "tflite", "keras"]
    assert "`synthetic-train`" in card.text and "Architecture `edge`, 3 epochs" in card.text
    taken = host("export", run, "--out", tmp_path / "c", "--hf", folder, status=2)
    assert_error(taken, "output-exists", str(folder))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("out", "hf"), [("b", "b"), ("b", "b/hub"), ("b/out", "b"), ("b", "x/../b")]
)
def test_a_place_inside_the_bundle_is_refused_before_the_work(
    host: Cli, digits: Path, tmp_path: Path, out: str, hf: str
) -> None:
    shutil.copyfile(WHOLE / "model-float32.onnx", tmp_path / "mine.onnx")
    done = host(
        *("bundle", "mine.onnx", "--data", digits, "--out", out, "--hf", hf),
        cwd=tmp_path,
        status=2,
    )
    assert_error(done, "output-hub-place", "with --hf")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.onnx"}


def test_a_hub_folder_that_holds_something_names_its_option(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "mine").touch()
    with raises("output-exists", "another with --hf"):
        hub_folder.check_place(tmp_path / "hub", tmp_path / "bundle")


def test_a_changed_file_is_not_passed_on(tmp_path: Path) -> None:
    shutil.copytree(WHOLE, tmp_path / "b")
    file = tmp_path / "b" / "model-int8.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with raises("bundle-hash", "model-int8.onnx"):
        hub_folder.write(tmp_path / "b", tmp_path / "hub")
    assert not (tmp_path / "hub").exists()
