"""A model that answers NaN to some images, over HTTP: problem details, and the server goes on."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from edge_mnist import BackendError
from edge_mnist.serve.models import ModelSource, load_models
from tests.errors import raises
from tests.foreign_models.bundles import dense_model, sole_file
from tests.fuzz.asgi import Caller, check_answer

INFER = "/v2/models/default/infer"
JSON = {"content-type": "application/json", "host": "localhost"}


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    """A server whose model is finite unless an image is black: the root of -10 is NaN."""
    content = dense_model(operator="Sqrt", bias=(-10.0, *(1.0,) * 9))
    sole_file(tmp_path, "model-float32.onnx", content, output="logits")
    try:
        return Caller(str(tmp_path), backend="onnx")
    except BackendError:
        pytest.skip("needs onnxruntime")


def bodies(level: int) -> dict[str, bytes]:
    """Return requests by path for an image of one grey level."""
    pixels = base64.b64encode(bytes([level]) * 784).decode()
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": [level] * 784}
    return {
        "/v1/predict": json.dumps({"pixels": pixels}).encode(),
        "/v1/demo": json.dumps({"pixels": pixels}).encode(),
        INFER: json.dumps({"inputs": [tensor]}).encode(),
    }


def test_an_answer_that_is_not_finite_is_a_problem(caller: Caller) -> None:
    for path, body in bodies(0).items():
        answer = caller.call("POST", path, JSON, body)
        check_answer(answer)
        document = json.loads(answer.body)
        assert answer.status == 422 and document["title"] == "Unprocessable Entity"
        assert document["detail"].startswith("Expected finite outputs, got NaN or infinity from")
        assert document.get("error") == (document["detail"] if path == INFER else None)
    for path, body in bodies(255).items():
        answer = caller.call("POST", path, JSON, body)
        check_answer(answer)
        assert answer.status == 200 and json.loads(answer.body)


def test_a_model_that_is_never_finite_is_refused_at_the_start(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    sole_file(tmp_path, "model-float32.onnx", dense_model(bias=(float("nan"),) * 10))
    with raises("model-not-finite"):
        load_models(ModelSource(str(tmp_path)))


@pytest.mark.parametrize(
    "tensor",
    [
        {"datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784},
        {"name": "image", "datatype": "UINT8", "shape": [float("inf"), 28, 28], "data": []},
    ],
    ids=["no name", "infinite"],
)
def test_a_tensor_that_is_none_is_refused(caller: Caller, tensor: dict[str, object]) -> None:
    body = json.dumps({"inputs": [tensor]}).encode()
    answer = caller.call("POST", INFER, JSON, body)
    check_answer(answer)
    assert answer.status == 400
