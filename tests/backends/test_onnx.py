"""`.onnx` files in ONNX Runtime, with and without the session options of the package."""

from __future__ import annotations

import numpy as np
import pytest

from edge_mnist.bundle import MODELS, find_artifacts
from edge_mnist.datasets import find, load
from edge_mnist.int8 import read_graph
from edge_mnist.int8.program import Program
from tests.conftest import find_mnist

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("option", [None, "session.x64quantprecision"])
@pytest.mark.parametrize("model", MODELS)
def test_a_plain_session_computes_int8_exactly(model: str, option: str | None) -> None:
    """A user's two lines of ONNX Runtime give the bytes of the written int8 arithmetic.

    So it is on all of MNIST's test images. ONNX Runtime scales sums in float32, so that a value
    half way between two may be rounded to the other: 4 of 10,000 drawn digits with `nano`.
    """
    images = load(find(str(find_mnist() or "synthetic")), "test").images
    files = {artifact.format: artifact.path for artifact in find_artifacts(model)}
    options = onnxruntime.SessionOptions()
    if option:
        options.add_session_config_entry(option, "1")
    session = onnxruntime.InferenceSession(files["onnx"], options)
    (output,) = session.run(None, {"image": images.reshape(-1, *session.get_inputs()[0].shape[1:])})
    program = Program(read_graph(files["tflite"].read_bytes()), len(images))
    program.input[...] = images.reshape(program.input.shape)
    program.run()
    differing = (output != program.output).any(axis=1)
    assert np.count_nonzero(differing) <= (0 if find_mnist() else 4)
