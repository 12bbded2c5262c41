"""The host's Python interface, as a notebook or a script uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_mnist_export
from edge_mnist import Classifier
from edge_mnist.datasets import synthetic
from tests.conftest import Cli
from tests.errors import error_line, raises
from tests.export.conftest import TINY


@pytest.fixture(scope="module")
def colour() -> dict[str, np.ndarray]:
    """1,500 and 300 drawn digits as images of three channels, with names for the classes."""
    arrays: dict[str, np.ndarray] = {"classes": np.array(list("abcdefghij"))}
    for name, count in (("train", 1500), ("test", 300)):
        images, arrays[f"y_{name}"] = synthetic.split(name, limit=count)  # type: ignore[arg-type]
        arrays[f"x_{name}"] = np.repeat(images[..., np.newaxis], 3, axis=-1)
    return arrays


def recorder() -> Any:
    """Return a Keras callback that records its calls, and ends the training after two epochs."""
    import keras

    class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        def on_train_begin(self, logs: Any = None) -> None:
            self.calls.append("begin")

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                assert logs["loss"] > 0
                self.calls.append("batch")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            assert {"loss", "accuracy", "val_loss", "val_accuracy"} == set(logs)
            self.calls.append(f"epoch {epoch}")
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs: Any = None) -> None:
            self.calls.append("end")

    return Recorder()


def test_importing_loads_no_framework() -> None:
    code = "import sys, edge_mnist_export; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    heavy = {"tensorflow", "keras", "onnx", "onnxruntime", "numpy", "PIL", "matplotlib", "click"}
    assert not heavy & set(loaded.decode().split())


@pytest.mark.slow
@pytest.mark.train
def test_own_arrays_are_trained_exported_and_predicted(
    colour: dict[str, np.ndarray], tmp_path: Path
) -> None:
    callback = recorder()
    run = edge_mnist_export.train(
        "nano", data=colour, epochs=4, callbacks=[callback], out=tmp_path / "run", quiet=True
    )
    assert callback.calls == ["begin", "batch", "epoch 0", "batch", "epoch 1", "end"]
    assert run.record["epochs_trained"] == len(run.history()) == 2
    assert run.record["labels"] == list("abcdefghij")
    assert run.to_dict() == {
        "path": str(run.path),
        **json.loads((run.path / "run.json").read_text()),
    }
    assert "own-arrays-test" in run._repr_html_()

    tables: list[str] = []
    bundle = edge_mnist_export.export(
        run,
        int8=True,
        formats=["tflite"],
        min_agreement=50,
        max_drop=50,
        quiet=True,
        show=tables.append,
    )
    assert bundle.folder == run.path / "bundle"
    assert bundle.to_dict()["labels"] == list("abcdefghij")
    assert [artifact.name for artifact in bundle.artifacts] == [
        "model-float32.tflite",
        "model-int8.tflite",
    ]
    assert "model-int8.tflite" in bundle._repr_html_()
    assert "Keras" in tables[0]
    # The device answers with these classes.
    prediction = Classifier(bundle.folder).predict(colour["x_test"][0])
    assert prediction.label in "abcdefghij"

    # Another process does not have the arrays.
    with raises("data-run", "--data"):
        edge_mnist_export.export(run.path, quiet=True)


@pytest.mark.slow
@pytest.mark.train
def test_a_model_in_memory_and_a_saved_model_give_the_same_bundle(
    colour: dict[str, np.ndarray], tmp_path: Path
) -> None:
    import keras

    inputs = keras.Input((28, 28, 3))
    x = keras.layers.Conv2D(8, 5, strides=3, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)), name="mine")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(colour["x_train"] / 255.0, colour["y_train"], epochs=5, verbose=0)
    before = model.get_weights()
    live = edge_mnist_export.export(model, data=colour, out=tmp_path / "live", quiet=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert live.manifest["architecture"]["name"] == "mine"

    model.export(tmp_path / "saved", verbose=False)
    saved = edge_mnist_export.export(
        tmp_path / "saved", data=colour, out=tmp_path / "bundle", quiet=True
    )
    image = colour["x_test"][7]
    answers = [Classifier(b.folder).predict(image).probabilities for b in (live, saved)]
    assert np.allclose(*answers, atol=1e-6)


def test_what_cannot_be_exported_is_named(tmp_path: Path) -> None:
    with raises("model-kind", "got int"):
        edge_mnist_export.export(3)  # type: ignore[arg-type]
    with raises("model-target-unknown", "'pi'"):
        edge_mnist_export.export(target="pi", model=_any_keras_file(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "resnet"}, "arch to be pico, nano, edge, accurate, seed, got 'resnet'"),
        ({"recipe": "best"}, "recipe to be plain, standard, full, got 'best'"),
        ({"epochs": 0}, "epochs to be 1 to "),
        ({"limit": 7}, "limit to be 120 to "),
        ({"size": (28, 28)}, "size to be height, width, and 1 or 3 channels, got (28, 28)"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with raises("model-option", message):
        edge_mnist_export.train(data="synthetic", quiet=True, **options)


@pytest.mark.slow
def test_images_too_small_for_the_convolutions_are_named(tmp_path: Path) -> None:
    images, labels = np.zeros((300, 8, 8), np.uint8), np.arange(300) % 3
    data = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    with raises("data-size", "8×8"):
        edge_mnist_export.train("nano", data=data, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    with raises("data-recipe", "Expected --recipe plain"):
        edge_mnist_export.train(recipe="standard", data=data, quiet=True)


def test_a_saved_model_without_a_signature_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"))
    data = {"x_train": np.zeros((9, 28, 28), np.uint8), "y_train": np.arange(9)}
    with raises("model-signature", "got none in"):
        edge_mnist_export.export(
            tmp_path / "saved", data={**data, "x_test": data["x_train"]}, quiet=True
        )


def _any_keras_file(folder: Path) -> Path:
    import zipfile

    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
    return path


@pytest.mark.slow
@pytest.mark.train
def test_a_configuration_repeats_a_run(host: Cli, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    host("train", *TINY, "--seed", "3", "--out", first)
    host("train", "--config", first / "config.toml", "--out", again)
    assert (first / "config.toml").read_text() == (again / "config.toml").read_text()
    records = [json.loads((run / "run.json").read_text()) for run in (first, again)]
    assert records[0]["weights_sha256"] == records[1]["weights_sha256"]
    other = host(
        "train", "--config", first / "config.toml", "--epochs", "1", "--out", tmp_path / "other"
    )
    assert "epoch 1/1" in other.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 3", "expected a table [train]"),
        ("[train]\nepoch = 3", "got 'epoch'; did you mean epochs?"),
        ("[train]\nepochs = 0", "0 is not in the range x>=1"),
        ("[train", "expected a TOML file"),
    ],
)
def test_a_bad_configuration_is_one_line(
    host: Cli, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "c.toml").write_text(text)
    done = host("train", "--config", "c.toml", cwd=tmp_path, status=2)
    assert message in error_line(done)
    assert not (tmp_path / "runs").exists()
