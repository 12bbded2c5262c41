"""The Open Inference Protocol, with Triton's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge_mnist import Classifier
from tests.conftest import WHOLE
from tests.serve.conftest import Server, Start

triton = pytest.importorskip(
    "tritonclient.http", reason="needs tritonclient[http], of the group test"
)
ONNX = "model-float32.onnx-onnx"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    one = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    yield one
    one.close()


def given(images: Any, *, binary: bool) -> Any:
    tensor = triton.InferInput("image", list(images.shape), "UINT8")
    return tensor.set_data_from_numpy(images, binary_data=binary)


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("default") and client.is_model_ready(ONNX, "1")
    assert not client.is_model_ready("none") and not client.is_model_ready(ONNX, "2")
    assert client.get_server_metadata()["name"] == "edge-mnist"
    metadata = client.get_model_metadata(ONNX)
    assert metadata["name"] == ONNX and metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert [one["name"] for one in metadata["outputs"]] == ["probabilities", "digit"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_infer(
    client: Any, images: tuple[Any, Any], binary_in: bool, binary_out: bool | None
) -> None:
    arrays, _ = images
    outputs = None
    if binary_out is not None:
        outputs = [
            triton.InferRequestedOutput(name, binary_data=binary_out)
            for name in ("digit", "probabilities")
        ]
    result = client.infer(
        ONNX, [given(arrays, binary=binary_in)], outputs=outputs, request_id="some"
    )
    expected = Classifier(WHOLE, backend="onnx", precision="float32")
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float32 and probabilities.shape == (40, 10)
    np.testing.assert_allclose(probabilities, expected.predict_probabilities(arrays), atol=1e-6)
    digits = [-1 if (p := expected.predict(one)).digit is None else p.digit for one in arrays]
    assert result.as_numpy("digit").tolist() == digits
    assert result.get_response()["id"] == "some"
    assert result.get_response()["model_name"] == ONNX


def test_one_output_alone(client: Any, images: tuple[Any, Any]) -> None:
    wanted = [triton.InferRequestedOutput("digit")]
    result = client.infer("default", [given(images[0][:1], binary=True)], outputs=wanted)
    assert result.as_numpy("probabilities") is None and result.as_numpy("digit").shape == (1,)


def test_many_at_once_from_a_pool(server: Server, images: tuple[Any, Any]) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=4) as pool:
        asked = [pool.async_infer("default", [given(images[0], binary=True)]) for _ in range(20)]
        answers = [one.get_result().as_numpy("digit").tolist() for one in asked]
    assert len({tuple(digits) for digits in answers}) == 1


@pytest.mark.parametrize(
    ("tensor", "model", "message"),
    [
        (np.zeros((1, 32, 32), np.uint8), "default", "of shape (1, 32, 32)"),
        (np.zeros((28, 28), np.uint8), "default", "of shape (28, 28)"),
        (np.zeros((1025, 28, 28), np.uint8), "default", "Expected at most 1024 images"),
        (np.zeros((1, 28, 28), np.uint8), "none", "Expected one of the models default, "),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_errors_reach_the_client(
    client: Any, tensor: Any, model: str, message: str, binary: bool
) -> None:
    with pytest.raises(triton.InferenceServerException, match=_literal(message)):
        client.infer(model, [given(tensor, binary=binary)])


def test_another_datatype_or_output_is_refused(client: Any, images: tuple[Any, Any]) -> None:
    floats = triton.InferInput("image", [1, 28, 28], "FP32")
    floats.set_data_from_numpy(np.zeros((1, 28, 28), np.float32))
    with pytest.raises(triton.InferenceServerException, match="Expected one input: image, UINT8"):
        client.infer("default", [floats])
    wanted = [triton.InferRequestedOutput("embedding")]
    with pytest.raises(triton.InferenceServerException, match="the outputs"):
        client.infer("default", [given(images[0], binary=True)], outputs=wanted)


def test_a_token_is_asked_of_clients_too(start: Start) -> None:
    one = start("--model", WHOLE, "--token", "0123456789abcdef")
    client = triton.InferenceServerClient(f"127.0.0.1:{one.port}")
    assert not client.is_server_ready()
    headers = {"Authorization": "Bearer 0123456789abcdef"}
    assert client.is_server_ready(headers=headers)
    client.close()


ZERO = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28]}


@pytest.mark.parametrize(
    ("document", "length"),
    [
        ({}, None),
        ([], None),
        ({"inputs": []}, None),
        ({"inputs": [1]}, None),
        ({"inputs": [ZERO]}, None),
        ({"inputs": [{**ZERO, "data": [0]}]}, None),
        ({"inputs": [{**ZERO, "data": "zero"}]}, None),
        ({"inputs": [{**ZERO, "shape": [-1, 28, 28], "data": [0] * 784}]}, None),
        ({"inputs": [{**ZERO, "shape": [10**30, 28], "data": [0] * 784}]}, None),
        ({"inputs": [{**ZERO, "name": "x", "data": [0] * 784}]}, None),
        ({"inputs": [{**ZERO, "parameters": {"binary_data_size": 784}}]}, None),
        ({"inputs": [{**ZERO, "parameters": 3}]}, None),
        ({"inputs": [{**ZERO, "data": [0] * 784}], "outputs": 3}, None),
        ({"inputs": [{**ZERO, "data": [0] * 784}], "parameters": 3}, None),
        ({"inputs": [ZERO]}, "999999999999999"),
        ({"inputs": [ZERO]}, "-1"),
        ({"inputs": [ZERO]}, "2"),
    ],
)
def test_a_malformed_request_is_a_400(server: Server, document: Any, length: str | None) -> None:
    headers = {"Inference-Header-Content-Length": length} if length else {}
    content = json.dumps(document).encode()
    answer = server.ask("/v2/models/default/infer", content, headers=headers)
    assert answer.status == 400, answer.body
    assert answer.json["error"] == answer.json["detail"]


def _literal(text: str) -> str:
    import re

    return re.escape(text)
