"""A prediction is finite, or a ModelError: NaN and infinity are never answered."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import Classifier, EdgeMnistError, backends, datasets
from edge_mnist.backends import Tensor
from edge_mnist.backends.quantized_io import QuantizedIO
from edge_mnist.backends.tensor_layout import infer_layout
from edge_mnist.bundle import find_artifacts
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.classifier.prediction import check_finite, to_probabilities
from edge_mnist.evaluation.accuracy import evaluate
from tests.conftest import REPOSITORY, Cli
from tests.errors import error_line, raises
from tests.foreign_models.bundles import dense_model, sole_file

DIGITS = REPOSITORY / "examples" / "digits"
NAN, INF, LARGE = math.nan, math.inf, 3.4e38
BAD = {"NaN": NAN, "infinity": INF, "-infinity": -INF}


def test_only_finite_values_pass_and_they_become_finite_probabilities() -> None:
    """Every triple of these values: two checks suffice, because NaN is its own extreme."""
    for values in itertools.product((NAN, INF, -INF, LARGE, -LARGE, 0.0, 0.5, 1.0), repeat=3):
        outputs = np.array(values, np.float32)
        if not np.isfinite(outputs).all():
            with raises("model-not-finite"):
                check_finite(outputs, "m.onnx")
            continue
        check_finite(outputs, "m.onnx")
        for kind in ("logits", "scores"):
            probabilities = to_probabilities(outputs, kind)
            assert np.isfinite(probabilities).all()
            assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.fixture(params=itertools.product(BAD, ("probabilities", "logits", "scores")), ids=str)
def unsound(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A bundle whose model answers one bad value, not always in the greatest place."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    value, output = request.param
    content = dense_model(bias=(0.0, BAD[value], *(0.0,) * 8))
    sole_file(tmp_path, "model-float32.onnx", content, output=output)
    return tmp_path


CALLS: dict[str, Callable[[Classifier], object]] = {
    "predict": lambda one: one.predict(np.zeros((28, 28), np.uint8)),
    "predict of a picture": lambda one: one.predict(DIGITS / "7.png"),
    "stages": lambda one: one.stages[2](one.stages[1](one.stages[0](np.zeros((28, 28), np.uint8)))),
    "predict_batch": lambda one: one.predict_batch(np.zeros((2, 28, 28), np.uint8)),
    "predict_probabilities": lambda one: one.predict_probabilities(np.zeros((2, 28, 28), np.uint8)),
    "predict_many": lambda one: one.predict_many(DIGITS / "7.png"),
    "read_grid": lambda one: one.read_grid(DIGITS.parent / "form.jpg"),
}


def test_every_call_refuses_it(unsound: Path) -> None:
    classifier = Classifier(unsound, backend="onnx")
    for call in CALLS.values():
        with raises("model-not-finite", "Expected finite outputs, got NaN or infinity from model-"):
            call(classifier)


def test_it_has_no_accuracy(unsound: Path) -> None:
    (artifact,) = find_artifacts(unsound)
    test = datasets.load(datasets.find("synthetic"), "test", limit=20)
    with raises("model-not-finite"):
        evaluate(artifact, backends.get("onnx"), test)


def test_the_commands_say_so_in_a_line(tmp_path: Path, cli: Cli) -> None:
    content = dense_model(bias=(NAN, *(0.0,) * 9))
    sole_file(tmp_path, "model-float32.onnx", content)
    for options in (
        ("predict", DIGITS / "7.png", "--json", "--model", tmp_path),
        ("evaluate", tmp_path, "--data", "synthetic", "--json"),
    ):
        done = cli(*options, status=2)
        assert "NaN" not in done.stdout
        assert error_line(done).startswith("Expected finite outputs")


class _Fixed:
    """A session of one output of these bytes."""

    def __init__(self, input: Tensor, output: Tensor) -> None:
        self.input, self.output = input, output


@pytest.mark.parametrize("scale", [NAN, INF, -INF, -0.5, 1e30, 1e-40])
@pytest.mark.parametrize("end", ["input", "output"])
def test_scales_that_are_none_are_refused(scale: float, end: str) -> None:
    tensors = {
        "input": Tensor("image", (1, 28, 28, 1), "uint8", 1 / 255),
        "output": Tensor("probabilities", (1, 10), "uint8", 1 / 256),
    }
    tensors[end] = tensors[end]._replace(scale=scale)
    session: Any = _Fixed(**tensors)
    layout = infer_layout(session.input, session.output, format="tflite", name="m.tflite")
    with raises("model-quantization", f"for the tensor {tensors[end].name!r}, got"):
        QuantizedIO(session, layout)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1 / 256, 1e18])
def test_every_quantized_output_is_finite(dtype: str, scale: float) -> None:
    ends = np.iinfo(dtype)
    output = Tensor("probabilities", (1, 10), dtype, scale, zero_point=ends.min)
    session: Any = _Fixed(Tensor("image", (1, 28, 28, 1), "uint8", 1 / 255), output)
    layout = infer_layout(session.input, output, format="tflite", name="m.tflite")
    io = QuantizedIO(session, layout)
    values = io.dequantize(np.unique(np.array([ends.min, 0, 1, ends.max], dtype)))
    assert np.isfinite(values).all()
    assert (np.diff(values) >= 0).all()  # The greatest byte is the likeliest class.


@pytest.mark.parametrize(
    "range", [[0, 1e308], [-1e308, 1e308], [0, 1e39]], ids=["large", "apart", "past float32"]
)
def test_pixels_that_are_not_finite_are_refused(range: list[float], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    size = {"height": 28, "width": 28, "channels": 1, "range": range}
    sole_file(tmp_path, "model-float32.onnx", dense_model(), input=size)
    with pytest.raises(EdgeMnistError) as raised:
        Classifier(tmp_path, backend="onnx")
    assert raised.value.code in ("model-scaling", "bundle-manifest")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_manifest_is_json_without_nan(number: str, tmp_path: Path) -> None:
    file = sole_file(tmp_path, "model-float32.onnx", b"")
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(
        text.replace('"schema": 1', f'"schema": 1, "x": {number}')
    )
    with raises("bundle-manifest", f"{number}, which JSON does not have"):
        find_artifacts(file.parent)
    assert json.loads(text)["schema"] == ModelSpec().channels
