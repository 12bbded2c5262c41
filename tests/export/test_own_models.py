"""`export MODEL.keras --data PATH`: a user's own image classifiers.

Each is trained for a few seconds, converted and run. The data are drawn digits 0 to 4, in other
sizes and in colour.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier, ModelError
from edge_mnist.cli import main
from edge_mnist.datasets import synthetic
from edge_mnist_export.conversion import source_model
from tests.errors import raises

keras = pytest.importorskip("keras", reason="needs the host package")
layers = keras.layers

CLASSES = 5


def data(count: int, shape: tuple[int, int, int], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn digits in the middle of (h, w): white, or each in its own colour."""
    height, width, channels = shape
    labels = np.arange(count) % CLASSES
    digits = synthetic.draw(labels, seed=seed)
    top, left = (height - 28) // 2, (width - 28) // 2
    images = np.zeros((count, height, width, channels), np.uint8)
    colours = np.random.default_rng(seed).uniform(0.6, 1, (count, 1, 1, channels))
    images[:, top : top + 28, left : left + 28] = digits[..., np.newaxis] * colours
    return images, labels


def save_npz(path: Path, shape: tuple[int, int, int]) -> Path:
    x_train, y_train = data(2000, shape, seed=1)
    x_test, y_test = data(500, shape, seed=2)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def dense(x: Any) -> Any:
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dense(CLASSES)(x)


def batch_normalised(x: Any) -> Any:
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.8)(x)
        x = layers.ReLU()(x)
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    return layers.Dense(CLASSES, activation="softmax")(x)


def separable(x: Any) -> Any:
    x = layers.Conv2D(12, 3, strides=2, activation="relu")(x)
    x = layers.SeparableConv2D(24, 3, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x))


def depthwise(x: Any) -> Any:
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu6")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = layers.Conv2D(24, 1, activation="relu6")(x)
    x = layers.AveragePooling2D(2)(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x))


def residual(x: Any) -> Any:
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    y = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(16, 3, padding="same")(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.MaxPooling2D(2)(x)
    return layers.Dense(CLASSES)(layers.Flatten()(x))


def globally_pooled(x: Any) -> Any:
    for filters in (16, 24, 32):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.GlobalMaxPooling2D()(x)
    return layers.Dense(CLASSES, activation="softmax")(x)


def rescaling_inside(x: Any) -> Any:
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.Conv2D(12, 5, strides=2, activation="relu")(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x))


def nested(x: Any) -> Any:
    backbone = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(12, 3, strides=2, activation="leaky_relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
        ]
    )
    return layers.Dense(CLASSES, activation="softmax")(backbone(x))


def normalised(x: Any) -> Any:
    x = layers.Normalization(mean=0.2, variance=0.1)(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(12, 3, activation="relu")(x)
    x = layers.AveragePooling2D(2)(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x))


def pooled_first(x: Any) -> Any:
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(12, 3, activation="relu")(x)
    return layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(x))


# The others are exported as float32 and int8 alone, to save time.
EVERY_PRECISION = ("batch normalisation, dropout", "separable", "residual, logits")

MODELS: dict[str, tuple[Callable[[Any], Any], tuple[int, int, int], tuple[float, float]]] = {
    "dense, logits": (dense, (28, 28, 1), (0, 1)),
    "batch normalisation, dropout": (batch_normalised, (32, 32, 3), (0, 1)),
    "separable": (separable, (32, 32, 3), (-1, 1)),
    "depthwise, not square": (depthwise, (28, 36, 1), (0, 1)),
    "residual, logits": (residual, (32, 32, 1), (-1, 1)),
    "global pooling": (globally_pooled, (28, 28, 3), (0, 1)),
    "rescaling inside": (rescaling_inside, (28, 28, 1), (0, 255)),
    "nested sequential": (nested, (30, 30, 3), (0, 1)),
    "normalization inside, average pooling": (normalised, (28, 28, 1), (0, 1)),
    "begins with pooling": (pooled_first, (28, 28, 1), (0, 1)),
}


def fit(
    build: Callable[[Any], Any], shape: tuple[int, int, int], pixels: tuple[float, float]
) -> Any:
    """Train for a few seconds on pixels scaled to a range."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, build(inputs))
    logits = getattr(model.layers[-1], "activation", None) is not keras.activations.softmax
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    model.compile(keras.optimizers.Adam(2e-3), loss=loss)
    images, labels = data(2000, shape, seed=1)
    low, high = pixels
    x = low + (high - low) * images.astype(np.float32) / 255
    model.fit(x, labels, batch_size=32, epochs=4, verbose=0)
    return model


def export(*arguments: str | Path, status: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    assert ended.value.code == status


@pytest.mark.train
@pytest.mark.parametrize("name", MODELS)
def test_a_user_s_own_keras_model_is_exported_and_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, shape, pixels = MODELS[name]
    model = fit(build, shape, pixels)
    model.save(tmp_path / "mine.keras")
    own = save_npz(tmp_path / "drawn.npz", shape)
    # One of 500 test images is 0.2 points.
    asked = ("--int8", "--max-drop", "2", "--min-agreement", "96")
    if name in EVERY_PRECISION:
        asked = (*asked, "--fp16", "--dynamic")
    export(tmp_path / "mine.keras", "--data", own, *asked, "--out", tmp_path / "bundle")
    printed = capsys.readouterr()
    assert f"Inferred input range {pixels[0]:g} to {pixels[1]:g}" in printed.err
    assert printed.out.startswith("own-drawn-test, 500 images")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["input"]["range"] == list(pixels)
    assert (manifest["input"]["height"], manifest["input"]["width"]) == shape[:2]
    assert manifest["labels"] == list("01234")
    images, labels = data(500, shape, seed=2)
    images = images if shape[2] == 3 else images[..., 0]
    for entry in manifest["artifacts"]:
        classifier = Classifier(tmp_path / "bundle" / entry["file"])
        digits = classifier.predict_batch(images)
        assert (digits == labels).mean() == pytest.approx(entry["accuracy"])
        assert entry["accuracy"] > 0.85, entry
        assert classifier.predict(images[0]).digit == digits[0]


@pytest.mark.train
def test_pixels_scaled_twice_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (28, 28, 1)
    fit(rescaling_inside, shape, (0, 255)).save(tmp_path / "mine.keras")
    own = save_npz(tmp_path / "drawn.npz", shape)
    asked = (tmp_path / "mine.keras", "--data", own, "--int8", "--out", tmp_path / "b")
    # The model scales pixels itself. Scaled twice, all of them are nearly black.
    export(*asked, "--input-range", "0,1", status=2)
    (line,) = (li for li in capsys.readouterr().err.splitlines() if li.startswith("edge-mnist: e"))
    assert "got --input-range 0,1: accuracy" in line
    assert "with --input-range 0,255; give that" in line
    with np.load(own) as arrays:
        np.savez(own, **{name: arrays[name] // (255 if name[0] == "x" else 1) for name in arrays})
    export(*asked, "--input-range", "0,255", status=2)
    assert "pixels scaled twice?" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def by_brightness(share: float, tmp_path: Path) -> tuple[str | Path, ...]:
    """Return a model that tells dark from bright images at 0.5, its data, and where to export.

    This share of the images has a brightness of 0.6, which is dark to it if pixels become -1 to 1.
    """
    inputs = keras.Input((8, 8, 1))
    outputs = layers.Dense(2, activation="softmax")
    model = keras.Model(inputs, outputs(layers.GlobalAveragePooling2D()(inputs)))
    outputs.set_weights([np.array([[-10.0, 10.0]]), np.array([5.0, -5.0])])
    model.save(tmp_path / "mine.keras")
    brightness = np.where(np.arange(600) % 2, 0.9, 0.1)
    brightness[np.random.default_rng(0).permutation(600)[: round(share * 600)]] = 0.6
    images = np.broadcast_to(brightness[:, None, None] * 255, (600, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "drawn.npz", images=images, labels=(brightness > 0.5).astype(int))
    data = ("--data", tmp_path / "drawn.npz", "--format", "onnx")
    return tmp_path / "mine.keras", *data, "--out", tmp_path / "b"


def test_a_range_that_another_one_clearly_beats_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = by_brightness(0.1, tmp_path)
    export(*asked, "--input-range=-1,1", status=2)
    (line,) = (li for li in capsys.readouterr().err.splitlines() if li.startswith("edge-mnist: e"))
    wrong, right = (float(figure) for figure in re.findall(r"([\d.]+) %", line))
    assert 5 < right - wrong < 15
    assert "got --input-range -1,1: accuracy" in line
    assert "with --input-range 0,1; give that" in line
    export(*asked, "--input-range=0,1")


def test_a_range_that_is_hardly_worse_is_taken(tmp_path: Path) -> None:
    export(*by_brightness(0.03, tmp_path), "--input-range=-1,1")
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["input"]["range"] == [-1, 1]


def test_a_legacy_h5_file_is_exported(tmp_path: Path) -> None:
    path, *asked = by_brightness(0.1, tmp_path)
    legacy = tmp_path / "mine.h5"
    keras.saving.load_model(path).save(legacy)
    export(legacy, *asked)
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["architecture"]["name"] == "mine"
    assert manifest["artifacts"][0]["accuracy"] == 1


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("saved/saved_model.pb", ("TensorFlow graph", "give the folder")),
        ("mine.pt", ("PyTorch file", "torch.onnx.export")),
        ("mine.pth", ("PyTorch file", "torch.onnx.export")),
        ("mine.onnx", ("ONNX file", "no export", "edge-mnist bundle")),
        ("mine.tflite", ("TFLite file", "no export", "edge-mnist bundle")),
    ],
)
def test_models_of_other_programs_get_one_line(
    name: str, details: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    with raises("model-not-keras", *details):
        source_model.find(file)


def test_h5_files_that_are_no_keras_model(tmp_path: Path) -> None:
    with raises("model-keras-file", "nothing"):
        source_model.find(tmp_path / "mine.h5")
    (tmp_path / "mine.h5").write_bytes(b"PK")
    with raises("model-keras-file", "something else"):
        source_model.find(tmp_path / "mine.h5")
    of((8, 8, 1), dense)().save_weights(tmp_path / "mine.weights.h5")
    with pytest.raises(ModelError, match=r"Expected a Keras model at .*mine.weights.h5, got"):
        source_model.load(source_model.find(tmp_path / "mine.weights.h5"))


@pytest.mark.train
def test_subfolders_name_the_labels(tmp_path: Path) -> None:
    shape = (28, 28, 1)
    model = fit(dense, shape, (0, 1))
    model.save(tmp_path / "mine.keras")
    images, labels = data(400, shape, seed=5)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "pictures" / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{number:03}.png")
    options = ("--format", "onnx", "--input-range", "0,1")
    pictures = tmp_path / "pictures"
    export(tmp_path / "mine.keras", "--data", pictures, *options, "--out", tmp_path / "b")
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["labels"] == [f"class {label}" for label in range(CLASSES)]
    # Every fifth of the 80 pictures of each class.
    assert manifest["evaluation"]["images"] == 80
    assert Classifier(tmp_path / "b").labels == tuple(manifest["labels"])


class _Doubled(layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x * 2


def two_inputs() -> Any:
    inputs = [keras.Input((28, 28, 1)), keras.Input((28, 28, 1))]
    return keras.Model(inputs, dense(layers.Add()(inputs)))


def of(shape: tuple[int | None, ...], build: Callable[[Any], Any]) -> Callable[[], Any]:
    def make() -> Any:
        inputs = keras.Input(shape)
        return keras.Model(inputs, build(inputs))

    return make


def with_nan(x: Any) -> Any:
    return layers.Dense(CLASSES, bias_initializer=keras.initializers.Constant(np.nan))(
        layers.Flatten()(x)
    )


def recurrent(x: Any) -> Any:
    return layers.Dense(CLASSES)(layers.LSTM(8)(layers.Reshape((28, 28))(x)))


def sigmoids(x: Any) -> Any:
    return layers.Dense(CLASSES, activation="sigmoid")(layers.Flatten()(x))


def float16(x: Any) -> Any:
    return layers.Dense(CLASSES, dtype="float16")(layers.Flatten()(x))


REFUSED = {
    "recurrent": (of((28, 28, 1), recurrent), "without recurrent layers, got LSTM in"),
    "no numbers": (of((28, 28, 1), with_nan), "Expected weights that are numbers, got NaN or inf"),
    "sigmoids": (of((28, 28, 1), sigmoids), "end the model in a softmax, not a sigmoid"),
    "float16": (of((28, 28, 1), float16), "Expected a model of float32 weights, got float16"),
    "custom layer": (of((28, 28, 1), lambda x: dense(_Doubled()(x))), "got the custom _Doubled in"),
    "lambda": (
        of((28, 28, 1), lambda x: dense(layers.Lambda(lambda v: v * 2)(x))),
        "got the custom Lambda in",
    ),
    "two inputs": (two_inputs, "one input and one output, got 2 and 1 in"),
    "dynamic size": (
        of((None, None, 1), lambda x: layers.Dense(5)(layers.GlobalMaxPooling2D()(x))),
        "of a fixed size, got an input of shape (None, None, 1)",
    ),
    "not an image": (of((784,), layers.Dense(5)), "got an input of shape (784,)"),
    "two channels": (of((28, 28, 2), dense), "got an input of shape (28, 28, 2)"),
    "not a classifier": (
        of((28, 28, 1), layers.Conv2D(5, 3)),
        "got an output of shape (26, 26, 5)",
    ),
    "other classes": (
        of((28, 28, 1), lambda x: layers.Dense(7)(layers.Flatten()(x))),
        "of 7 classes for this model, got (28, 28, 1) of 5 in own-drawn-train",
    ),
    "other size": (
        of((20, 28, 1), dense),
        "Expected images of shape (n, 20, 28, 1) for this model",
    ),
}


@pytest.mark.train
def test_twenty_classes_in_order_and_mixed_precision(tmp_path: Path) -> None:
    shape, classes = (28, 28, 1), 20
    labels = np.arange(1200) // 60
    images = np.zeros((1200, *shape), np.uint8)
    # The position of a bar is its class. Images are sorted by class, as those of folders.
    for image, label in zip(images, labels, strict=True):
        image[4:24, 4 + label, 0] = 255
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape)
    mixed = keras.DTypePolicy("mixed_float16")
    x = layers.Flatten()(layers.Conv2D(8, 3, activation="relu", dtype=mixed)(inputs))
    model = keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images / 255.0, labels, epochs=3, verbose=0)
    model.save(tmp_path / "mine.keras")
    np.savez(tmp_path / "bars.npz", images=images, labels=labels)
    asked = ("--int8", "--data", tmp_path / "bars.npz", "--out", tmp_path / "b")
    export(tmp_path / "mine.keras", *asked)
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["labels"] == [str(label) for label in range(classes)]
    assert {entry["accuracy"] for entry in manifest["artifacts"]} == {1.0}
    assert manifest["calibration"]["held_out_of_training"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "format", "named"),
    [
        ("elu", "tflite", "int8 TFLite file, got ELU in float"),
        ("elu", "onnx", "in integers in the int8 ONNX file, got Elu (elu_1), for which"),
        ("gelu", "onnx", "can be converted to model-float32.onnx, got: "),
    ],
)
def test_a_layer_that_cannot_be_converted_is_one_line(
    activation: str,
    format: str,
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    build = lambda x: dense(layers.Conv2D(4, 3, activation=activation)(x))  # noqa: E731
    fit(build, (28, 28, 1), (0, 1)).save(tmp_path / "mine.keras")
    own = save_npz(tmp_path / "drawn.npz", (28, 28, 1))
    asked = (*(() if activation == "gelu" else ("--int8",)), "--format", format)
    export(tmp_path / "mine.keras", "--data", own, *asked, "--out", tmp_path / "b", status=2)
    lines = [li for li in capsys.readouterr().err.splitlines() if "edge-mnist: error:" in li]
    assert len(lines) == 1
    assert named in lines[0]
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", REFUSED)
def test_an_unfit_model_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = REFUSED[name]
    make().save(tmp_path / "mine.keras")
    own = save_npz(tmp_path / "drawn.npz", (28, 28, 1))
    export(tmp_path / "mine.keras", "--data", own, "--out", tmp_path / "bundle", status=2)
    (line,) = (li for li in capsys.readouterr().err.splitlines() if li.startswith("edge-mnist: e"))
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.npz", "mine.keras"]
