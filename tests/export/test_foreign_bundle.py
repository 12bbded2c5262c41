"""`bundle MODEL --data PATH`: files that edge-mnist did not write become bundles."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier, datasets
from edge_mnist.bundle import find_artifacts
from edge_mnist.bundle.model_spec import ModelSpec, Scaling, spec_from_manifest
from edge_mnist.bundle.provenance import provenance
from edge_mnist.evaluation.foreign_scaling import training_sample
from edge_mnist.store import Store, copying, install
from edge_mnist.store.examples import read_examples
from edge_mnist_export.bundles.bundle_writer import input_entry
from tests.conftest import REPOSITORY, WHOLE, Cli
from tests.errors import assert_error, error_line

onnx = pytest.importorskip("onnx", reason="needs onnx to build models")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(params=["onnx", "tflite"])
def mine(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a float32 file without its manifest."""
    source = WHOLE / f"model-float32.{request.param}"
    return Path(shutil.copy(source, tmp_path / f"mine.{request.param}"))


@pytest.fixture
def pictures(digits: Path, tmp_path: Path) -> Path:
    """600 drawn digits in folders whose order is not that of the digits."""
    with np.load(digits) as arrays:
        images, labels = arrays["x_train"][:600], arrays["y_train"][:600]
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "pictures" / ENGLISH[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:03}.png")
    return tmp_path / "pictures"


def images_of(digits: Path) -> np.ndarray:
    with np.load(digits) as arrays:
        return np.array(arrays["x_test"])


def manifest_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def saved(model: Any, path: Path) -> Path:
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def preceded(nodes: list[Any], constants: dict[str, Any], *, logits: bool = False) -> Any:
    """Return the float32 graph behind nodes that lead from `x` to `image`."""
    model = onnx.load(WHOLE / "model-float32.onnx")
    graph = model.graph
    if logits:
        softmax = graph.node.pop()
        graph.node[-1].output[0] = softmax.output[0]
    graph.input[0].name = "x"
    for node in reversed(nodes):
        graph.node.insert(0, node)
    tensors = (numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    graph.initializer.extend(tensors)
    return model


def taking(low: float, high: float, *, logits: bool = False) -> Any:
    """Return a graph whose inputs for the pixels 0 and 255 are these."""
    nodes = [
        helper.make_node("Sub", ["x", "low"], ["shifted"]),
        helper.make_node("Div", ["shifted", "span"], ["image"]),
    ]
    constants = {"low": np.float32(low), "span": np.float32(high - low)}
    return preceded(nodes, constants, logits=logits)


def test_a_foreign_file_becomes_a_bundle_that_signs_for_it(
    host: Cli, mine: Path, digits: Path
) -> None:
    done = host("bundle", mine, "--data", digits)
    out = mine.with_suffix("")
    assert f"Wrote {out}" in done.stdout
    assert "pixels 0…1: the best of 8 ways tried on 500 images of own-digits-train" in done.stderr
    manifest = manifest_of(out)
    (entry,) = manifest["artifacts"]
    content = mine.read_bytes()
    assert (out / mine.name).read_bytes() == content
    assert entry["size_bytes"] == len(content)
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    runtime, oldest = {
        ".onnx": ("onnxruntime", ">=1.6.0"),
        ".tflite": ("ai-edge-litert", ">=1.0.0"),
    }[mine.suffix]
    assert entry["loads_in"][runtime] == oldest
    assert ("opset" if mine.suffix == ".onnx" else "ops") in entry
    assert manifest["evaluation"]["data"] == "own-digits-test"
    assert manifest["scaling"]["data"] == "own-digits-train"
    # Nobody knows how it was trained, and there is no Keras model to compare it with.
    assert not {"training", "calibration", "refusal", "target"} & set(manifest)
    assert "agreement" not in entry and "keras_accuracy" not in manifest["evaluation"]
    origin = provenance(find_artifacts(out)[0])
    assert "training data not stated" in origin.line and "on own-digits-test" in origin.line
    evaluated = json.loads(host("evaluate", out, "--data", digits, "--json").stdout)
    assert [row["accuracy"] for row in evaluated["results"]] == [entry["accuracy"]]
    assert entry["accuracy_by_backend"] == {
        row["backend"]: row["accuracy"] for row in evaluated["results"]
    }
    assert 0.9 < entry["accuracy"] < 1


def test_a_bundle_answers_as_its_file_alone(host: Cli, mine: Path, digits: Path) -> None:
    host("bundle", mine, "--data", digits, "--quiet")
    alone, bundled = Classifier(mine, scale=1 / 255), Classifier(mine.with_suffix(""))
    images = images_of(digits)
    expected = alone.predict_probabilities(images)
    assert np.array_equal(bundled.predict_probabilities(images), expected)
    picture = REPOSITORY / "examples" / "digits" / "7.png"
    assert bundled.predict(picture).confidence == alone.predict(picture).confidence


@pytest.mark.parametrize(
    ("low", "high", "logits", "asked"),
    [
        (-1, 1, False, None),
        (0, 255, True, None),
        (1, 0, False, None),  # black on white
        (0, 2, False, ("--scale", "2/255")),  # no usual range
        (-1, 3, False, ("--scale", "1/255", "--mean", "0.25", "--std", "0.25")),
    ],
)
def test_the_manifest_states_the_scaling_and_the_kind_of_output(
    host: Cli,
    digits: Path,
    tmp_path: Path,
    low: int,
    high: int,
    logits: bool,
    asked: tuple[str, ...] | None,
) -> None:
    file = saved(taking(low, high, logits=logits), tmp_path / "m.onnx")
    host("bundle", file, "--data", digits, *(asked or ()))
    manifest = manifest_of(tmp_path / "m")
    assert spec_from_manifest(manifest).range == (low, high)
    assert manifest.get("output", "probabilities") == ("logits" if logits else "probabilities")
    assert manifest["scaling"]["found"] == ("given" if asked else "tried")
    bundled, original = Classifier(tmp_path / "m"), Classifier(WHOLE, precision="float32")
    images = images_of(digits)
    found = bundled.predict_probabilities(images)
    assert np.allclose(found, original.predict_probabilities(images), atol=1e-4)


@pytest.mark.parametrize(
    "scaling",
    [
        Scaling(),
        Scaling(2 / 255, (1.0,)),
        Scaling(1.0),
        Scaling(1 / 255, (0.1307,), (0.3081,)),
        Scaling(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_device_reads_exactly_the_scaling_that_was_written(
    scaling: Scaling, inverted: bool
) -> None:
    spec = ModelSpec(32, 40, 3, scaling.inverted() if inverted else scaling)
    written = json.loads(json.dumps({"input": input_entry(spec), "labels": list(spec.labels)}))
    assert spec_from_manifest(written) == spec


def test_folders_in_another_order_are_refused_with_the_option(
    host: Cli, mine: Path, pictures: Path, tmp_path: Path
) -> None:
    asked = ("bundle", mine, "--data", pictures, "--out", tmp_path / "b")
    refused = host(*asked, status=2)
    assert_error(refused, "data-label-order", f"--labels {','.join(ENGLISH)};")
    assert not (tmp_path / "b").exists()
    option = re.search(r"--labels (\S+);", error_line(refused))
    assert option
    host(*asked, "--labels", option[1])
    assert Classifier(tmp_path / "b").labels == ENGLISH
    assert manifest_of(tmp_path / "b")["artifacts"][0]["accuracy"] > 0.9


def test_labels_in_the_file_order_the_folders(host: Cli, pictures: Path, tmp_path: Path) -> None:
    model = onnx.load(WHOLE / "model-float32.onnx")
    helper.set_model_props(model, {"labels": json.dumps(ENGLISH)})
    host("bundle", saved(model, tmp_path / "m.onnx"), "--data", pictures)
    assert Classifier(tmp_path / "m").labels == ENGLISH


def test_classes_that_are_numbers_get_names(host: Cli, digits: Path, tmp_path: Path) -> None:
    file = saved(taking(0, 1), tmp_path / "m.onnx")
    for data, out in ((digits, "own"), ("synthetic", "drawn")):
        asked = ("--labels", ",".join(ENGLISH), "--out", tmp_path / out)
        host("bundle", file, "--data", data, *asked)
        assert Classifier(tmp_path / out).labels == ENGLISH
        assert manifest_of(tmp_path / out)["artifacts"][0]["accuracy"] > 0.9


@pytest.mark.parametrize("names", [None, ENGLISH])
def test_a_colour_model_of_another_size(
    host: Cli, tmp_path: Path, names: tuple[str, ...] | None
) -> None:
    crop = helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["image"])
    constants = {"starts": [2, 2, 0], "ends": [30, 30, 1], "axes": [1, 2, 3]}
    model = preceded([crop], {k: np.array(v, np.int64) for k, v in constants.items()})
    del model.graph.input[:]
    shape = ("batch", 32, 32, 3)
    model.graph.input.append(helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape))
    asked = ("--labels", ",".join(names)) if names else ()
    host("bundle", saved(model, tmp_path / "m.onnx"), "--data", "synthetic", *asked)
    manifest = manifest_of(tmp_path / "m")
    assert [manifest["input"][key] for key in ("height", "width", "channels")] == [32, 32, 3]
    assert manifest["labels"] == list(names or "0123456789")
    assert manifest["artifacts"][0]["accuracy"] > 0.9
    examples = read_examples(copying.verify(tmp_path / "m"))
    assert examples is not None and examples.images.shape == (20, 32, 32, 3)
    assert len(set(examples.answers.tolist())) >= 8
    # Drawn digits have no true output among names.
    assert (examples.labels is None) == (examples.accuracy is None) == (names is not None)
    checked = install(tmp_path / "m", store=Store(tmp_path / "store")).checked
    assert checked is not None and checked.examples == 20


def test_a_model_no_better_than_chance_is_refused(
    host: Cli, mine: Path, digits: Path, tmp_path: Path
) -> None:
    with np.load(digits) as arrays:
        drawn = dict(arrays)
    rng = np.random.default_rng(0)
    for key in ("y_train", "y_test"):
        drawn[key] = rng.permutation(drawn[key])
    np.savez(tmp_path / "drawn.npz", **drawn)
    done = host("bundle", mine, "--data", tmp_path / "drawn.npz", status=2)
    assert_error(done, "model-chance", "images of own-drawn-train")
    assert not mine.with_suffix("").exists()


def test_test_images_of_other_labels_are_refused(
    host: Cli, mine: Path, digits: Path, tmp_path: Path
) -> None:
    with np.load(digits) as arrays:
        shifted = {**arrays, "y_test": (arrays["y_test"] + 3) % 10}
    np.savez(tmp_path / "shifted.npz", **shifted)
    done = host("bundle", mine, "--data", tmp_path / "shifted.npz", status=2)
    assert_error(done, "data-label-order", "500 images of own-shifted-test on ")


def test_a_model_that_mixes_up_a_batch_is_refused(host: Cli, digits: Path, tmp_path: Path) -> None:
    reverse = helper.make_node("Slice", ["x", "start", "end", "axis", "step"], ["image"])
    constants = {"start": [-1], "end": [-10_000], "axis": [0], "step": [-1]}
    model = preceded([reverse], {k: np.array(v, np.int64) for k, v in constants.items()})
    done = host("bundle", saved(model, tmp_path / "m.onnx"), "--data", digits, status=2)
    assert_error(done, "model-batch-mixed", "m.onnx", "of 500 images on onnx")


def test_what_is_no_foreign_file_is_refused(host: Cli, mine: Path, digits: Path) -> None:
    data = ("--data", digits)
    assert_error(host("bundle", WHOLE, *data, status=2), "model-has-manifest", str(WHOLE))
    listed = WHOLE / "model-int8.tflite"
    assert_error(host("bundle", listed, *data, status=2), "model-has-manifest", str(listed))
    assert_error(host("bundle", "none.onnx", *data, status=2), "bundle-missing", "none.onnx")
    names = ("--labels", "cat,dog")
    assert_error(host("bundle", mine, *data, *names, status=2), "data-label-count", "cat, dog")
    taken = ("--out", mine.parent)
    assert_error(host("bundle", mine, *data, *taken, status=2), "output-exists", str(mine.parent))
    assert "Missing option '--data'" in error_line(host("bundle", mine, status=2))


def test_data_of_another_number_of_classes_are_refused(
    host: Cli, mine: Path, digits: Path, tmp_path: Path
) -> None:
    with np.load(digits) as arrays:
        few = {k: arrays[k][arrays[f"y_{k[2:]}"] < 5] for k in arrays}
    np.savez(tmp_path / "few.npz", **few)
    done = host("bundle", mine, "--data", tmp_path / "few.npz", status=2)
    assert_error(done, "model-classes", "a model of 5 classes", f"{mine.name} with 10")


def test_scalings_are_tried_on_every_class(digits: Path, tmp_path: Path) -> None:
    """Also of data that are sorted by class, as folders are."""
    with np.load(digits) as arrays:
        order = np.argsort(arrays["y_train"], kind="stable")
        arranged = {k: arrays[k][order] if "train" in k else arrays[k] for k in arrays}
    np.savez(tmp_path / "arranged.npz", **arranged)
    source = datasets.find(str(tmp_path / "arranged.npz"), own=True)
    sample = training_sample(source, (28, 28, 1))
    assert len(sample.images) == 500 and set(sample.labels) == set(range(10))


def test_tensorflow_is_not_imported(mine: Path, digits: Path) -> None:
    script = (
        "import sys\nfrom edge_mnist.cli import main\n"
        "try:\n main(sys.argv[1:])\nexcept SystemExit as end:\n assert end.code == 0\n"
        "print(*{'tensorflow', 'keras', 'tf2onnx'} & set(sys.modules), 'imported')"
    )
    command = [sys.executable, "-c", script, "bundle", str(mine), "--data", str(digits)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported"
