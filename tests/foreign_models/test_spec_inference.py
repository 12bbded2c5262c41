"""Models that edge-mnist never made: real files of many layouts, built on the spot.

They are accurate without training: each is the shipped float32 ONNX graph behind nodes that undo
another scaling, size or layout, or a TFLite conversion of the same weights.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_mnist import Classifier, ModelError, backends, datasets, evaluation
from edge_mnist.backends import tensor_layout
from edge_mnist.bundle import find_artifacts
from edge_mnist.bundle.model_spec import DIGITS, ModelSpec, Scaling, number
from edge_mnist.evaluation.foreign_scaling import settle_scalings
from edge_mnist.foreign_models.spec_inference import name_of, scaling_of
from edge_mnist.vision.preprocess import fit, preprocess
from tests.conftest import WHOLE, Cli
from tests.errors import assert_error, error_line, raises

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
    model = onnx.load(WHOLE / "model-float32.onnx")
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
    build, *expected = BUILT[name]
    path = _save(build(), tmp_path / f"{name}.onnx")
    _check_found(path, "onnx", expected, digits, test_only)


def _check_found(
    path: Path, backend: str, expected: Sequence[str], digits: Images, data: Path
) -> None:
    """Hold a file to its (shape, scaling, output), and to what it reads when told that."""
    size, scaling, output = expected
    source = datasets.find(str(data), splits=("test",))
    test = datasets.load(source, "test", limit=500)
    pairs = [(find_artifacts(path)[0], backends.get(backend))]
    settled, (found,) = settle_scalings(pairs, source, test)
    c = found.spec
    assert f"{c.height}×{c.width}×{c.channels}" == size
    assert (c.output, c.labels) == (output, DIGITS)
    chosen = found.chosen or name_of(c.scaling)
    assert chosen == scaling, {name: (s.accuracy, s.loss) for name, s in found.scores.items()}
    assert evaluation.evaluate(*settled[0], test).accuracy > 0.98
    # What it prints is what makes predict right.
    known = Classifier(
        path, backend=backend, scale=c.scaling.scale, mean=c.scaling.mean, std=c.scaling.std
    )
    images = fit(digits[0][:7], c)
    probabilities = known.predict_probabilities(images)
    assert (probabilities.argmax(axis=1) == digits[1][:7]).all()
    # Ten values of 8 bits, each good to half a step of 1/200.
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 0.03
    one = known.predict(images[3])
    assert (one.digit, one.label) == (digits[1][3], str(digits[1][3]))
    assert np.allclose(one.probabilities, probabilities[3], atol=1e-3)


def test_weights_beside_the_file_are_found_and_a_bundle_may_have_none(
    tmp_path: Path, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.onnx"
    onnx.save(_flat(), path, save_as_external_data=True, location="big.bin", size_threshold=256)
    assert (tmp_path / "big.bin").stat().st_size > 50_000
    assert (Classifier(path).predict_batch(digits[0][:50]) == digits[1][:50]).mean() > 0.95
    # In a bundle only what the manifest vouches for is read, even where it lies at hand.
    _bundle(tmp_path, path, ModelSpec(), "onnx")
    monkeypatch.chdir(tmp_path)
    with raises("model-external-weights"):
        Classifier(tmp_path)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "big.bin").unlink()
    with raises("model-malformed", "big.onnx", "weights in 'big.bin', which is not beside it"):
        Classifier(path)


def test_quantization_at_the_edges_of_an_onnx_file_is_read(tmp_path: Path) -> None:
    path = _save(_quantized_edges(np.int8, 0.0053, -100), tmp_path / "m.onnx")
    session = Classifier(path).session
    assert (session.input.scale, session.input.zero_point) == (pytest.approx(0.0053), -100)
    assert (session.output.scale, session.output.zero_point) == (pytest.approx(1 / 200), -121)


def test_other_class_counts_have_numbers_for_labels(
    tmp_path: Path, cli: Cli, test_only: Path
) -> None:
    after = [helper.make_node("Concat", ["p", "p", "one"], ["y"], axis=1)]
    model = _identity([1, 28, 28, 1], after=after, out=[1, 21], constants={"one": _ONE})
    path = _save(model, tmp_path / "many.onnx")
    classifier = Classifier(path)
    assert classifier.labels == tuple(map(str, range(21)))
    done = cli("evaluate", path, "--data", test_only, "--limit", "200", status=2)
    assert_error(done, "model-classes", "10 classes for mnist-test", "many.onnx with 21")


_ONE = np.zeros((1, 1), np.float32)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: _identity(
                [1, 28, 28, 1],
                more_inputs=[helper.make_tensor_value_info("keep", FLOAT, [])],
                after=[helper.make_node("Mul", ["p", "keep"], ["y"])],
            ),
            r"Expected one input, the image, got 2 in bad.onnx: x, keep",
        ),
        (
            lambda: _identity(
                [1, 28, 28, 1],
                after=[helper.make_node("Identity", ["p"], [name]) for name in "yz"],
                more_outputs=[helper.make_tensor_value_info("z", FLOAT, [1, 10])],
            ),
            r"Expected one output of scores \(n, classes\), got 2 among 2 outputs in bad.onnx: y ",
        ),
        (
            lambda: _identity([1, 28, 28, 1], after=[_FOREIGN_OP], domains=["com.example"]),
            r"got bad.onnx, which needs the custom op com.example:Whirl; no release has that",
        ),
        (
            lambda: _identity(["N", 13]),
            r"one image of 8 to 4096 pixels a side and 1 or 3 channels, got shape \(\?, 13\)",
        ),
        (
            lambda: _identity([1, 28, 28, 5]),
            r"1 or 3 channels, got shape \(1, 28, 28, 5\) in bad.onnx",
        ),
        (
            lambda: _identity([1, 32, 32, 1]),
            r"Expected (bad.onnx to take an image of shape \(1, 32, 32, 1\)|an ONNX model)",
        ),
        (
            lambda: _identity(
                ["N", 28, 28, 1],
                after=[helper.make_node("ArgMax", ["p"], ["y"], axis=1)],
                out=["N", 1],
                out_dtype=onnx.TensorProto.INT64,
            ),
            r"Expected an output of two scores or more for every image, got shape \(1, 1\) for 1",
        ),
        (
            lambda: _identity(
                ["N", 28, 28, 1],
                after=[
                    helper.make_node("Sub", ["p", "p"], ["zero"]),
                    helper.make_node("Div", ["zero", "zero"], ["y"]),
                ],
            ),
            r"Expected finite scores, got none for any of 4 images in bad.onnx",
        ),
        (
            lambda: _wrap(
                [helper.make_node("Cast", ["x"], ["image"], to=FLOAT)],
                shape=[1, 28, 28, 1],
                dtype=onnx.TensorProto.BOOL,
            ),
            r"Expected a tensor of float32, .*, got tensor\(bool\) for 'x' in bad.onnx",
        ),
    ],
    ids=["inputs", "outputs", "op", "table", "channels", "mistaken", "argmax", "nan", "bool"],
)
def test_what_is_no_classifier_is_refused_in_a_line(
    build: Callable[[], Any], message: str, tmp_path: Path
) -> None:
    path = _save(build(), tmp_path / "bad.onnx")
    with pytest.raises(ModelError, match=message) as caught:
        Classifier(path)
    assert "\n" not in str(caught.value)


_FOREIGN_OP = helper.make_node("Whirl", ["p"], ["y"], domain="com.example")


def test_of_several_outputs_the_scores_are_taken(tmp_path: Path, digits: Images) -> None:
    model = _identity(
        ["N", 28, 28, 1],
        after=[
            helper.make_node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
            helper.make_node("Identity", ["p"], ["y"]),
        ],
        more_outputs=[helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["N"])],
    )
    outputs = list(model.graph.output)[::-1]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    classifier = Classifier(_save(model, tmp_path / "two.onnx"))
    assert (classifier.predict_batch(digits[0][:20]) == digits[1][:20]).all()


@pytest.mark.parametrize(
    ("shape", "output", "format", "expected"),
    [
        # Ambiguous shapes, by `tensor_layout`: (h, w, c, channels first, batch).
        ((1, 3, 32, 3), (1, 10), "tflite", None),
        ((1, 3, 32, 3), (1, 10), "onnx", None),
        ((1, 3, 32, 32), (1, 10), "tflite", (32, 32, 3, True, 1)),
        ((-1, -1, -1, -1), (-1, 10), "onnx", (28, 28, 1, True, -1)),
        ((-1, -1, -1, -1), (-1, 10), "tflite", (28, 28, 1, False, -1)),
        ((-1, -1, -1, 3), (-1, 10), "onnx", (28, 28, 3, False, -1)),
        ((), (), "onnx", (28, 28, 1, True, -1)),
        ((), (), "tflite", None),
        ((3, 28, 28), (3, 10), "onnx", (28, 28, 1, False, 3)),
        ((3, 28, 28), (1, 10), "onnx", (28, 28, 3, True, 1)),
        ((28, 28, 1), (1, 10), "tflite", (28, 28, 1, False, 1)),
        ((28, 28), (10,), "tflite", (28, 28, 1, False, 1)),
        ((64, 64), (64, 10), "tflite", (8, 8, 1, False, 64)),
        ((8, 784), (-1, 10), "onnx", (28, 28, 1, False, 8)),
        ((-1, 784, 1), (-1, 10), "onnx", (28, 28, 1, False, -1)),
        ((1, 3072), (1, 10), "onnx", (32, 32, 3, False, 1)),
        ((-1, -1), (-1, 10), "onnx", None),
        ((-1, 4), (-1, 3), "onnx", None),
        ((0, 28, 28, 1), (0, 10), "onnx", None),
        ((1, 28, 0, 1), (1, 10), "onnx", None),
        ((1, 100000, 100000, 3), (1, 10), "onnx", None),
    ],
)
def test_a_shape_is_read_by_the_documented_rules(
    shape: tuple[int, ...],
    output: tuple[int, ...],
    format: str,
    expected: tuple[int, int, int, bool, int] | None,
) -> None:
    tensors = (backends.Tensor("x", shape, "float32"), backends.Tensor("y", output, "float32"))
    if expected is None:
        with raises("model-input-shape", "image of 8 to"):
            tensor_layout.infer_layout(*tensors, format=format, name="m")
        return
    read = tensor_layout.infer_layout(*tensors, format=format, name="m")
    assert expected == (read.height, read.width, read.channels, read.channels_first, read.batch)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "expected"),
    [
        ("uint8", 1 / 255, 0, ("0…1", True)),
        ("int8", 1 / 255, -128, ("0…1", True)),
        ("uint8", 2 / 255, 127, ("-1…1", True)),
        ("uint8", 1.0, 0, ("0…255", True)),
        ("int8", 0.0127, -95, ("MNIST's mean and deviation", True)),
        ("uint8", 0.9, 0, ("0…255", False)),
        ("uint8", 0.0055, 0, ("0…1", False)),
        ("int16", 1 / 32767, 0, ("0…1", False)),
        ("float32", 0.0, 0, ("0…1", False)),
        ("uint8", 0.0, 0, ("0…255", False)),
        ("int8", 0.0, 0, ("--scale 1 --mean 128", False)),
    ],
)
def test_a_quantization_speaks_for_a_scaling(
    dtype: str, scale: float, zero_point: int, expected: tuple[str, bool]
) -> None:
    tensor = backends.Tensor("x", (1, 28, 28, 1), dtype, scale, zero_point)
    scaling, sure = scaling_of(tensor)
    assert (name_of(scaling), sure) == expected


# ----- TFLite ------------------------------------------------------------------------------------

Convert = Callable[..., Path]


@pytest.fixture(scope="module")
def convert(tmp_path_factory: pytest.TempPathFactory, mnist: Path) -> Convert:
    """Convert the shipped model, rebuilt in TensorFlow, to a `.tflite` file of another kind."""
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert to run .tflite files")
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow to make .tflite files")
    shipped = onnx.load(WHOLE / "model-float32.onnx").graph.initializer
    arrays = [numpy_helper.to_array(t) for t in shipped]
    weights = [a for a in arrays if a.dtype == np.float32]
    folder = tmp_path_factory.mktemp("tflite")
    sample = datasets.load(datasets.find(str(mnist)), "train", limit=100).images

    def logits(image: Any) -> Any:
        """(n, 28, 28, 1) in 0…1 to (n, 10)."""
        image = tf.reshape(image, (-1, 28, 7, 4))
        steps = [((2, 1), "SAME"), ((2, 1), "SAME"), (1, "VALID"), (1, "VALID")]
        for layer, (stride, padding) in enumerate(steps):
            kernel, bias = weights[2 * layer], weights[2 * layer + 1]
            image = tf.nn.conv2d(image, kernel.transpose(2, 3, 1, 0), stride, padding)
            image = tf.nn.relu(image + bias)
        return tf.reshape(image, (-1, 216)) @ weights[8] + weights[9]

    def build(
        name: str,
        body: Callable[[Any, Callable[[Any], Any]], Any],
        shape: Sequence[int | None],
        *,
        integer: str | None = None,
        calibrate: Callable[[np.ndarray], np.ndarray] = lambda image: image,
        inputs: int = 1,
        custom: bool = False,
    ) -> Path:
        signature = [tf.TensorSpec(shape, tf.float32) for _ in range(inputs)]
        function = tf.function(lambda *x: body(sum(x), logits), input_signature=signature)
        concrete = function.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function)
        converter.allow_custom_ops = custom
        if integer:
            fixed = [1 if size is None else size for size in shape]
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [calibrate(image).reshape(fixed).astype(np.float32)] for image in sample
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = getattr(tf, integer)
        path = folder / f"{name}.tflite"
        with warnings.catch_warnings():
            # It asks for the statistics that the representative images are there to give.
            warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
            path.write_bytes(converter.convert())
        return path

    return build


def _tflite_cases() -> dict[str, Any]:
    """name: (arguments of `convert`, shape, the scaling found, output)."""

    def softmax(x: Any, logits: Any) -> Any:
        import tensorflow as tf

        return tf.nn.softmax(logits(x))

    def through(change: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def body(x: Any, logits: Any) -> Any:
            import tensorflow as tf

            return softmax(change(tf, x), logits)

        return body

    def reshaped(tf: Any, x: Any) -> Any:
        return tf.reshape(x, (-1, 28, 28, 1))

    return {
        "nhwc-0-255": (
            (through(lambda tf, x: x / 255), (None, 28, 28, 1)),
            {},
            ("28×28×1", "0…255", "probabilities"),
        ),
        "flat": ((through(reshaped), (1, 784)), {}, ("28×28×1", "0…1", "probabilities")),
        "nchw": (
            (through(lambda tf, x: tf.transpose(x, (0, 2, 3, 1)) / 2 + 0.5), (1, 1, 28, 28)),
            {},
            ("28×28×1", "-1…1", "probabilities"),
        ),
        "lenet": (
            (through(lambda tf, x: x[:, 2:30, 2:30]), (1, 32, 32, 1)),
            {},
            ("32×32×1", "0…1", "probabilities"),
        ),
        "no-batch": ((through(reshaped), (28, 28)), {}, ("28×28×1", "0…1", "probabilities")),
        "fixed-4": ((softmax, (4, 28, 28, 1)), {}, ("28×28×1", "0…1", "probabilities")),
        "open-sides": (
            (softmax, (None, None, None, 1)),
            {},
            ("28×28×1", "0…1", "probabilities"),
        ),
        "logits": (
            (lambda x, logits: logits(x), (1, 28, 28, 1)),
            {},
            ("28×28×1", "0…1", "logits"),
        ),
        "uint8": (
            (softmax, (1, 28, 28, 1)),
            {"integer": "uint8", "calibrate": lambda image: image / 255},
            ("28×28×1", "0…1", "probabilities"),
        ),
        "int8-signed": (
            (through(lambda tf, x: x / 2 + 0.5), (1, 28, 28, 1)),
            {"integer": "int8", "calibrate": lambda image: image / 127.5 - 1},
            ("28×28×1", "-1…1", "probabilities"),
        ),
        # Calibrated on images brighter than any: a scale that tells nothing.
        "int8-odd-logits": (
            (lambda x, logits: logits(x), (1, 28, 28, 1)),
            {"integer": "int8", "calibrate": lambda image: image / 170},
            ("28×28×1", "0…1", "logits"),
        ),
    }


@pytest.mark.parametrize("name", _tflite_cases())
def test_a_tflite_layout_is_read_and_its_scaling_found(
    name: str, convert: Convert, digits: Images, test_only: Path
) -> None:
    arguments, options, expected = _tflite_cases()[name]
    path = convert(name, *arguments, **options)
    _check_found(path, "litert", expected, digits, test_only)


def test_an_edge_tpu_file_is_named_as_one(convert: Convert, cli: Cli, mnist: Path) -> None:
    def body(x: Any, logits: Any) -> Any:
        import tensorflow as tf

        return logits(x) * tf.linalg.det(tf.reshape(x, (1, 28, 28)))

    path = convert("edgetpu", body, (1, 28, 28, 1), custom=True)
    # Two names of the same length: the file stays as well-formed as it was.
    content = path.read_bytes().replace(b"MatrixDeterminant", b"edgetpu-custom-op")
    path.write_bytes(content)
    assert b"edgetpu-custom-op" in content
    for command in (["evaluate", path, "--data", mnist], ["predict", "x.png", "--model", path]):
        assert error_line(cli(*command, status=2)).endswith(
            "can load, got edgetpu.tflite, which needs the custom op edgetpu-custom-op; give the "
            "file that went into the Edge TPU compiler."
        )


def test_two_inputs_of_a_tflite_file_are_refused(convert: Convert) -> None:
    path = convert("two", lambda x, logits: logits(x), (1, 28, 28, 1), inputs=2)
    with raises("model-inputs", "two.tflite"):
        Classifier(path)


# ----- The command line, and bundles of other shapes ---------------------------------------------


@pytest.mark.slow
def test_what_is_unknown_is_said_and_can_be_given(
    tmp_path: Path, cli: Cli, mnist: Path, digits: Images
) -> None:
    path = _save(_nchw(), tmp_path / "mine.onnx")
    picture = tmp_path / "digit.png"
    Image.fromarray(digits[0][0]).save(picture)
    out = cli("evaluate", path, "--data", mnist, "--limit", "100").stdout
    assert "mine.onnx: 28×28×1 (as it stands), 10 probabilities, pixels -1…1: the best of 8" in out
    assert "500 images of mnist-train" in out
    options = ["--scale", "2/255", "--mean", "1"]
    assert f"For predict and benchmark: {' '.join(options)}\n" in out
    done = cli("predict", picture, "--model", path, *options)
    assert re.fullmatch(rf"{picture}: {digits[1][0]} \((99|100)\.\d\d %\)\n", done.stdout)
    assert done.stderr == f"Model: {path} (no manifest)\n"
    done = cli("predict", picture, "--model", path)
    assert "note: " in done.stderr
    assert "does not say how it takes pixels; assumed is --scale 1/255" in done.stderr
    row = json.loads(cli("evaluate", path, "--data", mnist, *options, "--json").stdout)["results"][
        0
    ]
    assert row["input"]["found"] == "given"
    assert row["accuracy"] > 0.99
    measured = tmp_path / "b.json"
    cli("benchmark", path, *options, "--runs", "20", "--json", measured)
    assert json.loads(measured.read_text())["results"][0]["file"] == "mine.onnx"


def test_without_the_training_split_the_test_split_is_tried_and_named(
    tmp_path: Path, cli: Cli, test_only: Path
) -> None:
    path = _save(_float_nhwc("N", 0, 255), tmp_path / "m.onnx")
    done = cli("evaluate", path, "--data", test_only, "--json")
    found = json.loads(done.stdout)["results"][0]["input"]
    assert (found["found"], found["data"], found["images"]) == ("tried", "mnist-test", 500)
    assert found["options"] == "--scale 1"
    assert found["alike"] == []
    assert found["tried"]["0…255"]["accuracy"] > 0.98


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scale", "x"], "expected a number such as 0.5 or 1/255, got 'x'"),
        (["--scale", "1,2"], "Expected one number for --scale"),
        (["--std", "0"], "neither a scale nor a deviation of 0, got --scale 1/255 --std 0"),
        (["--mean", "1,2"], "one for each of 1 channels, got --scale 1/255 --mean 1,2"),
    ],
)
def test_a_bad_scaling_is_refused(
    options: list[str], message: str, tmp_path: Path, cli: Cli
) -> None:
    path = _save(_identity([1, 28, 28, 1], out=[1, 10]), tmp_path / "m.onnx")
    picture = Path(__file__).parents[2] / "examples" / "digits" / "7.png"
    done = cli("predict", picture, "--model", path, *options, status=2)
    assert message in error_line(done)


def test_a_bundle_knows_its_own_scaling() -> None:
    with raises("model-scaling-stated", "edge"):
        Classifier(scale=1.0)


def _bundle(folder: Path, file: Path, spec: ModelSpec, format: str, **changes: Any) -> None:
    """Write a manifest beside a file."""
    content = file.read_bytes()
    manifest = {
        "schema": 1,
        "labels": list(spec.labels),
        "input": {
            "height": spec.height,
            "width": spec.width,
            "channels": spec.channels,
            "range": [0.0, 1.0],
            **changes.pop("input", {}),
        },
        "artifacts": [
            {
                "file": file.name,
                "format": format,
                "precision": "float32",
                "size_bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
        **changes,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


LABELS = tuple(f"sign {number}" for number in range(20))


@pytest.mark.slow
@pytest.mark.parametrize("channels_first", [True, False])
def test_a_colour_bundle_with_twenty_labels_is_obeyed(
    channels_first: bool, tmp_path: Path, cli: Cli
) -> None:
    # Outputs 0, 1 and 2 are the mean of red, green and blue, after the manifest's mean and std.
    axes = [2, 3] if channels_first else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["colour"], axes=axes, keepdims=0),
        helper.make_node("Gemm", ["colour", "spread"], ["y"]),
    ]
    spread = numpy_helper.from_array(np.eye(3, 20, dtype=np.float32), "spread")
    shape = ["N", 3, 32, 32] if channels_first else ["N", 32, 32, 3]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 20])],
        [spread],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = _save(model, tmp_path / "model.onnx")
    spec = ModelSpec(32, 32, 3, labels=LABELS)
    mean, std = [0.5, 0.25, 0.125], [0.5, 0.25, 1.0]
    _bundle(tmp_path, path, spec, "onnx", input={"mean": mean, "std": std}, output="logits")
    classifier = Classifier(tmp_path)
    assert classifier.labels == LABELS
    image = np.full((32, 32, 3), (255, 51, 102), np.uint8)
    values = (np.array([1, 0.2, 0.4]) - mean) / std
    logits = np.concatenate([values, np.zeros(17)])
    expected = np.exp(logits) / np.exp(logits).sum()
    prediction = classifier.predict(image)
    assert np.allclose(prediction.probabilities, expected, atol=1e-5)
    assert (prediction.digit, prediction.label) == (0, "sign 0")
    assert classifier.predict_batch(np.stack([image, image[..., ::-1]])).shape == (2,)
    # A picture of another size is resized whole, its colours as they are.
    Image.fromarray(image).resize((90, 50)).save(tmp_path / "sign.png")
    done = cli("predict", tmp_path / "sign.png", "--model", tmp_path)
    assert done.stdout.startswith(f"{tmp_path / 'sign.png'}: sign 0 (")
    row = json.loads(cli("predict", tmp_path / "sign.png", "--model", tmp_path, "--json").stdout)
    assert (row["digit"], row["label"], len(row["probabilities"])) == (0, "sign 0", 20)
    done = cli("evaluate", tmp_path, "--data", "synthetic", "--limit", "10", status=2)
    assert_error(done, "model-classes", "10 classes for synthetic-test", "model.onnx with 20")
    cli("benchmark", tmp_path, "--runs", "20")


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"mean": [0.1, 0.2]}},
        {"input": {"std": [0]}},
        {"input": {"channels": 2}},
        {"output": "odds"},
        {"labels": ["one"]},
    ],
)
def test_a_contract_that_cannot_be_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    path = _save(_flat(), tmp_path / "model.onnx")
    _bundle(tmp_path, path, ModelSpec(), "onnx", **changes)
    with raises("bundle-manifest"):
        Classifier(tmp_path)


def test_a_file_of_another_size_than_its_manifest_says_is_refused(tmp_path: Path) -> None:
    path = _save(_flat(), tmp_path / "model.onnx")
    _bundle(tmp_path, path, ModelSpec(32, 32, 3), "onnx")
    with raises("model-input-shape", "32×32×3 image", "1, 784", "model"):
        Classifier(tmp_path)


def test_black_ink_on_white_is_turned(tmp_path: Path, digits: Images) -> None:
    path = _save(_float_nhwc("N", 1, 0), tmp_path / "model.onnx")
    _bundle(tmp_path, path, ModelSpec(), "onnx", input={"polarity": "black ink on white"})
    assert (Classifier(tmp_path).predict_batch(digits[0][:50]) == digits[1][:50]).all()


def test_scalings_are_written_as_they_are_read() -> None:
    for scaling in (Scaling(), Scaling(1.0), Scaling(0.1, (1 / 3, -2.0, 0.485), (0.3081,))):
        for one in (scaling, scaling.inverted()):
            words = dict(zip(*[iter(one.options.split())] * 2, strict=True))
            given = {key[2:]: [number(n) for n in text.split(",")] for key, text in words.items()}
            scale = given.pop("scale")[0]
            assert Scaling.given(scale, given.get("mean"), given.get("std")) == one
            assert [one.value(p) for p in (0, 255)] == pytest.approx(
                [scaling.value(p if one == scaling else 255 - p) for p in (0, 255)]
            )
    assert Scaling.between(0.0, 1.0) == Scaling()
    # The table of an ordinary model is the one of pixels / 255, to the bit.
    table = np.float32([Scaling().value(pixel) for pixel in range(256)])
    assert np.array_equal(table, np.float32(np.arange(256) / 255))


def test_pictures_for_models_of_digits_go_mnists_way(digits: Images) -> None:
    lenet = ModelSpec(32, 32)
    image = digits[0][0]
    assert np.array_equal(preprocess(image, lenet)[2:30, 2:30], image)
    assert np.array_equal(fit(digits[0][:3], ModelSpec(32, 32, 3))[:, 2:30, 2:30, 1], digits[0][:3])
    assert fit(digits[0][:3], ModelSpec(20, 24)).shape == (3, 20, 24)
    photo = np.full((90, 120), 230, np.uint8)
    photo[20:70, 55:62] = 20
    assert np.array_equal(preprocess(photo, lenet)[2:30, 2:30], preprocess(photo))
    # A model of other things gets the whole picture, as light as it is.
    whole = preprocess(photo, ModelSpec(32, 32, labels=("cat", "dog")))
    assert whole.shape == (32, 32)
    assert whole[0, 0] == 230
