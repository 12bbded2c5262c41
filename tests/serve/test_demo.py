"""`POST /v1/demo`: two models side by side, and the layers of one."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import Classifier
from tests.conftest import WHOLE
from tests.serve.conftest import DIGITS, Answer, Server, Start

SEVEN = (DIGITS / "7.png").read_bytes()


def demo(server: Server, content: bytes = SEVEN, type: str = "image/png") -> Any:
    answer = server.ask("/v1/demo", content, type=type)
    assert answer.status == 200, answer.body
    return answer.json


def values(layer: Any) -> np.ndarray:
    """Return a layer's activations, as float32 (channels, h, w)."""
    levels = np.frombuffer(base64.b64decode(layer["values"]), np.uint8).reshape(layer["shown"])
    return layer["low"] + levels * np.float32((layer["high"] - layer["low"]) / 255)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def test_both_models_read_as_they_do_alone(server: Server) -> None:
    document = demo(server)
    pixels = np.frombuffer(base64.b64decode(document["input"]["pixels"]), np.uint8)
    image = pixels.reshape(document["input"]["shape"])
    assert [one["precision"] for one in document["models"]] == ["float32", "int8"]
    for model in document["models"]:
        path = WHOLE / model["file"]
        expected = Classifier(path).predict(image)
        assert model["prediction"]["digit"] == expected.digit == 7
        assert np.allclose(model["prediction"]["probabilities"], expected.probabilities, atol=1e-6)
        assert model["size_bytes"] == path.stat().st_size
        assert 0 < model["model_us"] < document["total_us"]
    one, other = (np.array(m["prediction"]["probabilities"]) for m in document["models"])
    assert document["agree"] is True and document["models_note"] is None
    assert document["largest_difference"] == pytest.approx(abs(one - other).max(), abs=2e-6)


def test_the_layers_are_the_models_own(server: Server) -> None:
    document = demo(server)
    layers = document["layers"]
    assert document["layers_of"] == "model-float32.tflite-litert"
    assert [layer["kind"] for layer in layers] == ["convolution"] * 4 + ["dense"]
    assert [layer["shape"] for layer in layers[:2]] == [[14, 7, 20], [7, 7, 24]]
    # The probabilities are the softmax of the last layer. Tolerance: a byte is (high - low) / 255.
    probabilities = document["models"][0]["prediction"]["probabilities"]
    assert np.allclose(softmax(values(layers[-1]).ravel()), probabilities, atol=0.02)
    # After a ReLU nothing is negative.
    assert all(layer["low"] == 0 < layer["high"] for layer in layers[:-1])
    other = demo(server, (DIGITS / "3.png").read_bytes())["layers"]
    assert all(a["values"] != b["values"] for a, b in zip(layers, other, strict=True))


def test_int8_layers_are_dequantized(start: Start) -> None:
    document = demo(start("--model", WHOLE / "model-int8.tflite"))
    assert document["layers_of"] == "model-int8.tflite-litert"
    (model,) = document["models"]
    assert document["agree"] is document["largest_difference"] is None
    dense = values(document["layers"][-1]).ravel()
    assert np.allclose(softmax(dense), model["prediction"]["probabilities"], atol=0.02)
    whole = demo(start("--model", WHOLE))["layers"][-1]
    assert np.abs(values(whole).ravel() - dense).max() < 1


def test_the_shipped_model_is_compared_in_two_runtimes(start: Start) -> None:
    document = demo(start())
    assert [one["backend"] for one in document["models"]] == ["onnx", "litert"]
    assert "edge-mnist export --int8" in document["models_note"]
    assert document["layers_of"] == "model-int8.tflite-litert"


def test_without_litert_it_says_why_there_are_no_layers(start: Start) -> None:
    document = demo(start("--model", WHOLE, "--backend", "onnx"))
    assert [one["precision"] for one in document["models"]] == ["float32", "int8"]
    assert document["layers"] is document["layers_of"] is None
    assert "LiteRT" in document["layers_note"]


def test_a_file_that_has_changed_shows_no_layers(start: Start, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(WHOLE, bundle)
    one = start("--model", bundle)
    for file in bundle.glob("*.tflite"):
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    document = demo(one)
    assert document["agree"] is True and document["layers"] is None and document["layers_note"]


def test_an_empty_paper_is_no_error(server: Server) -> None:
    blank = {"image": [[255] * 60] * 60}
    document = demo(server, json.dumps(blank).encode(), "application/json")
    assert document["input"] is document["layers"] is document["agree"] is None
    assert all(one["prediction"]["reason"] for one in document["models"])
    assert all(one["model_us"] is None for one in document["models"])


@pytest.mark.parametrize(
    ("content", "type", "status", "detail"),
    [
        (b"none", "image/png", 422, "Expected a picture (PNG, JPEG, …)"),
        (b"none", "text/plain", 415, "Expected Content-Type image/…"),
        (b"\0" * 8_000_001, "image/png", 413, "Expected a body of at most 8,000,000 bytes"),
        (b'{"pixels": "' + b"AAAA" * 784 + b'"}', "application/json", 400, "Expected one picture"),
    ],
)
def test_limits_and_errors_are_those_of_predict(
    server: Server, content: bytes, type: str, status: int, detail: str
) -> None:
    answer: Answer = server.ask("/v1/demo", content, type=type)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["detail"].startswith(detail)
