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
from edge_mnist_export.training.run_options import RunOptions
from tests.conftest import Cli
from tests.errors import error_line, raises


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
        ({"size": 28}, "size to be height, width, and 1 or 3 channels, got 28"),
        ({"epochs": True}, "epochs to be 1 to 1000000, got True"),
        ({"epochs": 1.0}, "epochs to be 1 to 1000000, got 1.0"),
        ({"seed": "many"}, "seed to be 0 to 4294967295, got 'many'"),
        ({"seed": None}, "seed to be 0 to 4294967295, got None"),
        ({"limit": "200"}, "limit to be 120 to "),
        ({"activation": None}, "activation to be relu, sigmoid, tanh, got None"),
        ({"max_bytes": "10KB"}, "max_bytes to be 1 to "),
        ({"max_us": float("nan")}, "max_us to be a number of at least 0, got nan"),
        ({"out": 3}, "out to be a path, got 3"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with raises("model-option", message):
        edge_mnist_export.train(data="synthetic", quiet=True, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": 3}, "out to be a path, got 3"),
        ({"hf": True}, "hf to be a path, got True"),
        (
            {"formats": "tflite"},
            "formats to be a list of tflite, onnx, c, html, triton, got 'tflite'",
        ),
        ({"formats": ["tf"]}, "formats to be tflite, onnx, c, html, triton, got 'tf'"),
        ({"batch": 0}, "batch to be 1 to 4096, got 0"),
        ({"batch": "4"}, "batch to be 1 to 4096, got '4'"),
        ({"max_drop": float("nan")}, "max_drop to be a number of at least 0, got nan"),
        ({"max_drop": None}, "max_drop to be a number of at least 0, got None"),
        ({"min_agreement": 900}, "min_agreement to be 0 to 100, got 900"),
        ({"input_range": (0,)}, "input_range to be two finite numbers, the lower first, got (0,)"),
        ({"input_range": "0,1"}, "two finite numbers, the lower first, got '0,1'"),
        ({"input_range": (1, 0)}, "two finite numbers, the lower first, got (1, 0)"),
        ({"labels": "a,b"}, "labels to be a list of different names, got 'a,b'"),
        ({"labels": ["a", "a"]}, "labels to be a list of different names, got ['a', 'a']"),
        ({"labels": [0, 1]}, "labels to be a list of different names, got [0, 1]"),
    ],
)
def test_a_wrong_argument_of_export_is_named(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with raises("model-option", message):
        edge_mnist_export.export(_any_keras_file(tmp_path), quiet=True, **options)


def test_integers_of_numpy_are_integers() -> None:
    options = RunOptions(epochs=np.int64(2), seed=np.uint32(2**31), size=tuple(np.array([9, 8, 3])))
    assert (options.epochs, options.seed, options.size) == (2, 2**31, (9, 8, 3))
    assert {type(value) for value in (options.epochs, options.seed, *(options.size or ()))} == {int}


@pytest.mark.slow
def test_wrong_callbacks_are_named(tmp_path: Path) -> None:
    for callbacks in (None, print, [3]):
        with raises("model-option", "callbacks to be a list of keras.callbacks.Callback, got"):
            edge_mnist_export.train(
                "pico",
                data="synthetic",
                limit=200,
                callbacks=callbacks,  # type: ignore[arg-type]
                out=tmp_path / "run",
                quiet=True,
            )
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_images_too_small_for_the_convolutions_are_named(tmp_path: Path) -> None:
    images, labels = np.zeros((300, 8, 8), np.uint8), np.arange(300) % 3
    data = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    with raises("data-size", "8×8"):
        edge_mnist_export.train("nano", data=data, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    with raises("data-recipe", "Expected --recipe plain"):
        edge_mnist_export.train(recipe="standard", data=data, quiet=True)


@pytest.mark.slow
def test_bad_test_images_are_found_before_the_training(tmp_path: Path) -> None:
    images, labels = np.zeros((300, 28, 28), np.uint8), np.arange(300) % 3
    data = {"x_train": images, "y_train": labels, "x_test": images[:, :9], "y_test": labels}
    with raises("data-images", "(300, 9, 28, 1)"):
        edge_mnist_export.train("pico", data=data, out=tmp_path / "run", quiet=True)
    with raises("data-few", "got 11 in own-arrays-train"):
        few = {name: array[:11] for name, array in {**data, "x_test": images}.items()}
        edge_mnist_export.train("pico", data=few, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


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
def test_a_configuration_repeats_a_run(host: Cli, tiny: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    host("train", "--config", tiny / "config.toml", "--out", again)
    assert (tiny / "config.toml").read_text() == (again / "config.toml").read_text()
    records = [json.loads((run / "run.json").read_text()) for run in (tiny, again)]
    assert records[0]["weights_sha256"] == records[1]["weights_sha256"]
    other = host(
        "train", "--config", tiny / "config.toml", "--epochs", "1", "--out", tmp_path / "other"
    )
    assert "epoch 1/1" in other.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 3", "expected a table [train]"),
        ("[train]\nepoch = 3", "got 'epoch'; did you mean epochs?"),
        ("[train]\nepochs = 0", "0 is not in the range x>=1"),
        ("[train", "expected a TOML file"),
        ("train = 3", "expected a table [train]"),
        ("[[train]]", "expected a table [train]"),
        ("[train.epochs]\na = 1", "expected epochs to be a string, a number, or a list of these"),
        ("[train]\nseed = 1979-05-27", "expected seed to be a string, a number"),
        ("[train]\nepochs = true", "expected epochs to be a string, a number"),
        ("[train]\nepochs = 2.5", "'2.5' is not a valid integer"),
        ('[train]\nquiet = "yes"', "expected quiet to be true or false, got 'yes'"),
        ("[train]\nquiet = 2", "expected quiet to be true or false, got 2"),
        ("[train]\nmax-latency-us = nan", "expected a number, got nan"),
        ("\ufeff[train]\nepochs = 0", "0 is not in the range x>=1"),
    ],
)
def test_a_bad_configuration_is_one_line(
    host: Cli, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "c.toml").write_text(text, "utf-8")
    done = host("train", "--config", "c.toml", cwd=tmp_path, status=2)
    assert message in error_line(done)
    assert not (tmp_path / "runs").exists()
