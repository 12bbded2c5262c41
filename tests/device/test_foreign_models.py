"""Models that edge-mnist never made: real files of many layouts, built on the spot.

They are accurate without training: each is the shipped float32 ONNX graph behind nodes that undo
another scaling, size or layout, or a TFLite conversion of one dense layer fitted to MNIST.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist import Classifier, backends, datasets
from edge_mnist.bundle import SHIPPED
from edge_mnist.contract import DIGITS, Scaling
from edge_mnist.preprocess import fit

onnx = pytest.importorskip("onnx", reason="needs onnx to build models")
pytest.importorskip("onnxruntime", reason="needs onnxruntime to run models")

helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT, UINT8, INT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8, onnx.TensorProto.INT8
Images = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Images:
    """500 images of MNIST's test set (500, 28, 28) uint8 with their labels."""
    split = datasets.load(datasets.find(str(mnist), splits=("test",)), "test", limit=500)
    return split.images, split.labels


@pytest.fixture(scope="module")
def test_only(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the test split alone."""
    folder = tmp_path_factory.mktemp("test-only")
    for file in mnist.glob("t10k*"):
        shutil.copy(file, folder)
    return folder


def _wrap(
    before: Sequence[Any],
    after: Sequence[Any] = (),
    *,
    shape: Sequence[int | str | None] | None,
    dtype: int = FLOAT,
    out: Sequence[int | str | None] | None = ("batch", 10),
    out_dtype: int = FLOAT,
    constants: dict[str, Any] | None = None,
    opset: int = 13,
    domains: Sequence[str] = (),
    more_inputs: Sequence[Any] = (),
    more_outputs: Sequence[Any] = (),
    drop_softmax: bool = False,
) -> Any:
    """Return the shipped graph with nodes before it, `x` to `image`, and after: `p` to `y`.

    `p` are probabilities, or with `drop_softmax` logits.
    """
    model = onnx.load(SHIPPED / "model-float32.onnx")
    graph = model.graph
    nodes = list(graph.node)
    if drop_softmax:
        nodes, last = nodes[:-1], nodes[-1]
        result = last.input[0]
    else:
        result = graph.output[0].name
    for node in nodes:
        for position, name in enumerate(node.output):
            if name == result:
                node.output[position] = "p"
    first = graph.input[0].name
    for node in nodes:
        for position, name in enumerate(node.input):
            if name == first:
                node.input[position] = "image"
    tail = list(after) or [helper.make_node("Identity", ["p"], ["y"])]
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    wrapped = helper.make_graph(
        [*before, *nodes, *tail],
        "foreign",
        [helper.make_tensor_value_info("x", dtype, shape), *more_inputs],
        [helper.make_tensor_value_info("y", out_dtype, out), *more_outputs],
        [*graph.initializer, *tensors],
    )
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(wrapped, opset_imports=sets, ir_version=8)


def _scaled(to: str, source: str, *, high: float, low: float = 0.0) -> list[Any]:
    """Nodes that bring values of low…high to 0…1; the constants are `_range(low, high)`."""
    return [
        helper.make_node("Sub", [source, "low"], ["shifted"]),
        helper.make_node("Div", ["shifted", "span"], [to]),
    ]


def _range(low: float, high: float) -> dict[str, Any]:
    return {"low": np.float32(low), "span": np.float32(high - low)}


def _save(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def _float_nhwc(batch: int | str | None, low: float, high: float) -> Any:
    return _wrap(
        _scaled("image", "x", low=low, high=high),
        shape=[batch, 28, 28, 1],
        out=[batch, 10],
        constants=_range(low, high),
    )


def _nchw() -> Any:
    return _wrap(
        [
            helper.make_node("Transpose", ["x"], ["nhwc"], perm=[0, 2, 3, 1]),
            *_scaled("image", "nhwc", low=-1, high=1),
        ],
        shape=["N", 1, "H", "W"],
        constants=_range(-1, 1),
    )


def _flat() -> Any:
    return _wrap(
        [helper.make_node("Reshape", ["x", "to"], ["image"])],
        shape=[1, 784],
        out=[1, 10],
        constants={"to": np.array([-1, 28, 28, 1])},
    )


def _standardised() -> Any:
    """As a torchvision transform leaves it, with no axis for the channel."""
    nodes = [
        helper.make_node("Mul", ["x", "deviation"], ["wide"]),
        helper.make_node("Add", ["wide", "mean"], ["unit"]),
        helper.make_node("Reshape", ["unit", "to"], ["image"]),
    ]
    constants = {
        "deviation": np.float32(0.3081),
        "mean": np.float32(0.1307),
        "to": np.array([-1, 28, 28, 1]),
    }
    return _wrap(nodes, shape=[None, 28, 28], constants=constants)


def _cropped(channels_first: bool, channels: int) -> Any:
    """32×32, of which the middle is taken; colour is averaged."""
    axes = [2, 3] if channels_first else [1, 2]
    channel = 1 if channels_first else 3
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "axes"], ["middle"]),
        helper.make_node("ReduceMean", ["middle"], ["grey"], axes=[channel], keepdims=1),
    ]
    if channels_first:
        nodes.append(helper.make_node("Transpose", ["grey"], ["image"], perm=[0, 2, 3, 1]))
    else:
        nodes.append(helper.make_node("Identity", ["grey"], ["image"]))
    size = [channels, 32, 32] if channels_first else [32, 32, channels]
    constants = {
        "from": np.array([2, 2]),
        "to": np.array([30, 30]),
        "axes": np.array(axes),
    }
    return _wrap(nodes, shape=["N", *size], constants=constants)


def _resized() -> Any:
    """56×56, every second pixel of which is read."""
    nodes = [helper.make_node("AveragePool", ["x"], ["half"], kernel_shape=[2, 2], strides=[2, 2])]
    nodes.append(helper.make_node("Transpose", ["half"], ["image"], perm=[0, 2, 3, 1]))
    return _wrap(nodes, shape=[1, 1, 56, 56], out=[1, 10])


def _quantized_edges(dtype: Any, scale: float, zero_point: int) -> Any:
    """8-bit integers in and out, their quantization only in the nodes at the edges."""
    return _wrap(
        [helper.make_node("DequantizeLinear", ["x", "in_scale", "in_zero"], ["image"])],
        [helper.make_node("QuantizeLinear", ["p", "out_scale", "out_zero"], ["y"])],
        shape=["N", 28, 28, 1],
        dtype=INT8 if dtype == np.int8 else UINT8,
        out_dtype=INT8 if dtype == np.int8 else UINT8,
        constants={
            "in_scale": np.float32(scale),
            "in_zero": dtype(zero_point),
            "out_scale": np.float32(1 / 200),
            "out_zero": dtype(np.iinfo(dtype).min + 7),
        },
    )


def _cast(dtype: int) -> Any:
    return _wrap(
        [
            helper.make_node("Cast", ["x"], ["pixels"], to=FLOAT),
            helper.make_node("Div", ["pixels", "span"], ["image"]),
        ],
        shape=["N", 28, 28, 1],
        dtype=dtype,
        constants={"span": np.float32(255)},
    )


def _half() -> Any:
    half = onnx.TensorProto.FLOAT16
    return _wrap(
        [helper.make_node("Cast", ["x"], ["image"], to=FLOAT)],
        [helper.make_node("Cast", ["p"], ["y"], to=half)],
        shape=[1, 28, 28, 1],
        dtype=half,
        out=[1, 10],
        out_dtype=half,
    )


def _identity(shape: Sequence[Any] | None, **options: Any) -> Any:
    return _wrap([helper.make_node("Identity", ["x"], ["image"])], shape=shape, **options)


def _old() -> Any:
    """Opset 7, IR 3, its weights among the inputs as they had to be."""
    model = _identity([1, 28, 28, 1], out=[1, 10], opset=7)
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    # Softmax of opset 7 has its axis at 1 by default, and none below 0.
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Softmax" and attribute.i == -1:
                attribute.i = 1
    return model


def _hard_batch() -> Any:
    """An open batch by name, with one image hard-coded inside, as some exports have it."""
    return _wrap(
        [helper.make_node("Reshape", ["x", "to"], ["image"])],
        shape=["N", 784],
        constants={"to": np.array([1, 28, 28, 1])},
    )


BUILT: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    # name: (model, shape, scaling found by evaluate, output)
    "nhwc-0-255": (lambda: _float_nhwc("N", 0, 255), "28×28×1", "0…255", "probabilities"),
    "nhwc-negative": (
        lambda: _float_nhwc("N", 1, 0),
        "28×28×1",
        "0…1, in negative",
        "probabilities",
    ),
    "nchw-symbolic": (_nchw, "28×28×1", "-1…1", "probabilities"),
    "nhw-standardised": (
        _standardised,
        "28×28×1",
        "MNIST's mean and deviation",
        "probabilities",
    ),
    "flat": (_flat, "28×28×1", "0…1", "probabilities"),
    "fixed-4": (lambda: _float_nhwc(4, 0, 1), "28×28×1", "0…1", "probabilities"),
    "lenet": (lambda: _cropped(True, 1), "32×32×1", "0…1", "probabilities"),
    "rgb-nchw": (lambda: _cropped(True, 3), "32×32×3", "0…1", "probabilities"),
    "rgb-nhwc": (lambda: _cropped(False, 3), "32×32×3", "0…1", "probabilities"),
    "56x56": (_resized, "56×56×1", "0…1", "probabilities"),
    "logits": (
        lambda: _identity(["N", 28, 28, 1], drop_softmax=True),
        "28×28×1",
        "0…1",
        "logits",
    ),
    "sigmoids": (
        lambda: _identity(["N", 28, 28, 1], drop_softmax=True, after=_SIGMOID),
        "28×28×1",
        "0…1",
        "scores",
    ),
    "no-shapes": (
        lambda: _wrap(
            [helper.make_node("Transpose", ["x"], ["image"], perm=[0, 2, 3, 1])],
            shape=None,
            out=None,
        ),
        "28×28×1",
        "0…1",
        "probabilities",
    ),
    "opset-7": (_old, "28×28×1", "0…1", "probabilities"),
    "float16": (_half, "28×28×1", "0…1", "probabilities"),
    "hard-batch": (_hard_batch, "28×28×1", "0…1", "probabilities"),
    "uint8-edges": (
        lambda: _quantized_edges(np.uint8, 1 / 255, 0),
        "28×28×1",
        "0…1",
        "probabilities",
    ),
    "int8-odd": (
        lambda: _quantized_edges(np.int8, 0.0053, -100),
        "28×28×1",
        "0…1",
        "probabilities",
    ),
    "uint8-cast": (lambda: _cast(UINT8), "28×28×1", "0…255", "probabilities"),
    "int64-cast": (lambda: _cast(onnx.TensorProto.INT64), "28×28×1", "0…255", "probabilities"),
}
_SIGMOID = [helper.make_node("Sigmoid", ["p"], ["y"])]


@pytest.mark.parametrize("name", BUILT)
def test_a_layout_is_read_and_its_scaling_found(
    name: str, tmp_path: Path, digits: Images, test_only: Path
) -> None:
    from edge_mnist import evaluation, trial
    from edge_mnist.bundle import find_artifacts

    build, size, scaling, output = BUILT[name]
    path = _save(build(), tmp_path / f"{name}.onnx")
    source = datasets.find(str(test_only), splits=("test",))
    test = datasets.load(source, "test", limit=500)
    pairs = [(find_artifacts(path)[0], backends.get("onnx"))]
    settled, (found,) = trial.settle(pairs, source, test)
    c = found.contract
    assert f"{c.height}×{c.width}×{c.channels}" == size
    assert c.output == output
    assert c.labels == DIGITS
    chosen = found.chosen or ("0…1" if c.scaling == Scaling() else "")
    assert chosen == scaling, found.scores
    assert evaluation.evaluate(*settled[0], test).accuracy > 0.98
    # What it prints is what makes predict right.
    known = Classifier(path, scale=c.scaling.scale, mean=c.scaling.mean, std=c.scaling.std)
    images = fit(digits[0][:7], c)
    probabilities = known.predict_probabilities(images)
    assert (probabilities.argmax(axis=1) == digits[1][:7]).all()
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 0.03
    one = known.predict(images[3])
    assert one.digit == digits[1][3]
    assert one.label == str(one.digit)
    assert np.allclose(one.probabilities, probabilities[3], atol=1e-3)
