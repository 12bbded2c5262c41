"""Keras model -> the bytes of an `.onnx` file."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions, quantization
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.errors import ModelError

from ..frameworks import quiet
from ..quantization.ranges import Range, observe
from ..quantization.search import Scheme
from .targets import Needs

# The first opset whose QuantizeLinear takes a scale per channel; every later one only
# narrows the range of runtimes that load the file.
OPSET = 13
# Nothing is left to give up for older runtimes: see `tflite.OLDER`.
OLDER: dict[str, str] = {}


def convert(model: Any, *, precision: str) -> bytes:
    """Return an ONNX model with input `image`, output `probabilities` and an open batch.

    Args:
        model: a Keras model from images (n, h, w, c) to probabilities.
        precision: float32; float16 inside, float32 in and out; dynamic: int8 weights, ranges of
            the activations found at run time.
    """
    with quiet(), _quiet_logging():
        return _serialize(_CONVERTERS[precision](_trace(model)))


class Quantizer:
    """A Keras model made integers only, by any scheme: static QDQ with signed weights.

    uint8 in and out, whose scale and zero point stand in the file's metadata.
    """

    def __init__(
        self, model: Any, images: NDArray[np.float32], counts: Sequence[int], input_range: Range
    ) -> None:
        """Measure `images` (n, h, w, c), as the model takes them: the first of each of `counts`.

        `input_range` is what the pixels 0 and 255 are to the model.
        """
        with quiet(), _quiet_logging():
            self._float = _trace(model)
        self._input_range = input_range
        self._statistics = observe(_all_values(self._float), images, counts)

    def quantize(self, scheme: Scheme) -> bytes:
        """Return the int8 file.

        Raises:
            ModelError: an op would stay float; the message names it.
        """
        found = self._statistics[scheme.images].items()
        ranges = {name: statistics.range(scheme.method) for name, statistics in found}
        ranges["image"] = self._input_range
        with quiet(), _quiet_logging():
            quantized = _quantize(self._float, ranges, per_channel=scheme.per_channel)
            _integer_input(quantized)
            _integer_output(quantized)
            check_integer(quantized)
            content = _serialize(quantized)
            check_kernels(content)
        return content


def _serialize(model: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _all_values(
    model: onnx.ModelProto,
) -> Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]:
    """Return what runs a float model and gives the value of every node, and the image."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    names = [name for node in model.graph.node for name in node.output]
    del wide.graph.output[:]
    wide.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = InferenceSession(wide.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        values = zip(names, session.run(names, {"image": image}), strict=True)
        floats = {name: value for name, value in values if value.dtype == np.float32}
        return {"image": image, **floats}

    return run


def finish(content: bytes, spec: ModelSpec, *, batch: int | None = None) -> bytes:
    """Return the file with its labels written into it, and with a fixed batch if one is given."""
    model = onnx.load_from_string(content)
    model.metadata_props.add(key="labels", value=json.dumps(spec.labels))
    if batch:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = batch
        # Shapes in between were inferred of an open batch.
        del model.graph.value_info[:]
    return _serialize(model)


def needs(content: bytes) -> Needs:
    """Return the operator set, IR version and, of the ops, what a runtime may lack beside them."""
    model = onnx.load_from_string(content)
    found = {"opset": _opset(model), "IR": model.ir_version}
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        schema = onnx.defs.get_schema("DequantizeLinear", found["opset"])
        found["DequantizeLinear"] = schema.since_version
    domains = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    return {**found, **{f"domain {domain}": 1 for domain in sorted(domains)}}


def requirements(content: bytes) -> dict[str, int]:
    """Return the operator set and IR version that a runtime must know."""
    model = onnx.load_from_string(content)
    return {"opset": _opset(model), "ir_version": model.ir_version}


def _opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _trace(model: Any) -> onnx.ModelProto:
    """Return the float32 graph.

    tf2onnx's `from_keras` fails on Keras 3, `from_function` works; the open batch leaves it a
    chain of Shape, Gather, Slice and Concat that onnxslim folds away.
    """
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32, name="image")]
    function = tf.function(
        lambda image: {"probabilities": model(image, training=False)}, input_signature=signature
    )
    traced, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    slim = onnxslim.slim(traced)
    for value in (slim.graph.input[0], slim.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    known = onnx.shape_inference.infer_shapes(slim).graph.value_info
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in known}
    _fuse_dense(slim.graph, shapes)
    _close_pooling(slim.graph, shapes)
    _use_inverses(slim.graph)
    _rename(slim.graph)
    used = {node.domain for node in slim.graph.node}
    for entry in [e for e in slim.opset_import if e.domain and e.domain not in used]:
        slim.opset_import.remove(entry)
    return slim


def _close_pooling(graph: onnx.GraphProto, shapes: Mapping[str, list[int]]) -> None:
    """Replace GlobalMaxPool by a MaxPool of the whole image, which has a kernel for integers."""
    for node in graph.node:
        size = shapes.get(node.input[0], [])[2:]
        if node.op_type == "GlobalMaxPool" and all(size):
            node.op_type = "MaxPool"
            node.attribute.append(onnx.helper.make_attribute("kernel_shape", size))


def _use_inverses(graph: onnx.GraphProto) -> None:
    """Replace x - c by x + (-c) and x / c by x * (1 / c): these have kernels for integers."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    inverses = {"Sub": ("Add", np.negative), "Div": ("Mul", np.reciprocal)}
    for node in graph.node:
        if node.op_type not in inverses or node.input[1] not in constants:
            continue
        value = onnx.numpy_helper.to_array(constants[node.input[1]])
        if value.dtype != np.float32:
            continue
        node.op_type, inverse = inverses[node.op_type]
        name = f"{node.input[1]}_for_{node.name}"
        graph.initializer.append(onnx.numpy_helper.from_array(inverse(value), name))
        node.input[1] = name
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _fuse_dense(graph: onnx.GraphProto, shapes: Mapping[str, list[int]]) -> None:
    """Replace MatMul + Add of a bias by Gemm.

    Quantized apart, a bias is an activation of 8 bits; in a Gemm it has the 32 of the
    accumulator, and one rounding less.
    """
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    for product in [node for node in graph.node if node.op_type == "MatMul"]:
        users = [node for node in graph.node if product.output[0] in node.input]
        if len(users) != 1 or users[0].op_type != "Add":
            continue
        bias = next((name for name in users[0].input if name != product.output[0]), "")
        weights = initializers.get(product.input[1])
        flat = len(shapes.get(product.input[0], (0, 0))) == 2
        if bias not in initializers or weights is None or len(weights.dims) != 2 or not flat:
            continue
        gemm = onnx.helper.make_node("Gemm", [*product.input, bias], users[0].output, product.name)
        graph.node.insert(list(graph.node).index(users[0]), gemm)
        graph.node.remove(product)
        graph.node.remove(users[0])


def _rename(graph: onnx.GraphProto) -> None:
    """Name nodes and values by op and number: `conv_1`, `conv_1_weight`.

    tf2onnx counts its names on through a process, so that a second export would differ.
    """
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    counts: dict[str, int] = {}
    for node in graph.node:
        op = node.op_type.lower()
        counts[op] = counts.get(op, 0) + 1
        node.name = f"{op}_{counts[op]}"
        roles = _INITIALIZER_ROLES.get(node.op_type, ())
        for position, name in enumerate(node.input):
            role = roles[position - 1] if 0 < position <= len(roles) else f"input_{position}"
            node.input[position] = names.setdefault(name, f"{node.name}_{role}") if name else ""
        for position, name in enumerate(node.output):
            suffix = f"_{position}" if position else ""
            node.output[position] = names.setdefault(name, f"{node.name}{suffix}_output")
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    del graph.value_info[:]
    graph.name = "edge-mnist"


_INITIALIZER_ROLES = {"Conv": ("weight", "bias"), "Gemm": ("weight", "bias"), "Reshape": ("shape",)}


def _float32(model: onnx.ModelProto) -> onnx.ModelProto:
    return model


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    half = convert_float_to_float16(model, keep_io_types=True)
    # The casts at the edges are appended after the nodes that need them.
    OnnxModel(half).topological_sort()
    return half


def _dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "dynamic.onnx"
        # Of a convolution ConvInteger is all there is, and ONNX Runtime runs it slower than
        # float: the weights of the dense layers are where the bytes are.
        quantization.quantize_dynamic(
            model,
            out,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
        return onnx.load(out)


# TFLite's quantization of a softmax: so both formats round probabilities alike.
_SOFTMAX = {"scale": np.array(1 / 256, np.float32), "zero_point": np.array(0, np.uint8)}


def _quantize(
    model: onnx.ModelProto, ranges: Mapping[str, Range], *, per_channel: bool
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        out, cache = Path(folder) / "int8.onnx", Path(folder) / "ranges.json"
        limits = {name: tuple(map(np.float32, limits)) for name, limits in ranges.items()}
        method = quantization.CalibrationMethod.MinMax
        # What it would have measured itself; finding it here, it measures nothing.
        save_tensors_data(TensorsData(method, limits), cache)
        quantization.quantize_static(
            model,
            out,
            calibration_cache_path=cache,
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=per_channel,
            # Every op there is, also those that ONNX Runtime would leave in float on its own.
            op_types_to_quantize=sorted({node.op_type for node in model.graph.node}),
            extra_options={"TensorQuantOverrides": {"probabilities": [_SOFTMAX]}},
        )
        return onnx.load(out)


# Ops that hand values on as they are: integers in, integers out.
_MOVES = ("Reshape", "Transpose", "MaxPool", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Slice")


def check_integer(model: onnx.ModelProto) -> None:
    """Make sure that every op of a QDQ graph reads dequantized values and is quantized again.

    A runtime turns DequantizeLinear, op, QuantizeLinear into one integer op; an op that stands
    outside of such a frame stays float.

    Raises:
        ModelError: names the first op that does.
    """
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    users: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node.op_type)
    constants = {tensor.name for tensor in model.graph.initializer}
    edges = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", *_MOVES):
            continue
        read = [name for name in node.input if name and name not in constants | edges]
        dequantized = all(makers[name] == "DequantizeLinear" for name in read)
        # A Relu is folded into the QuantizeLinear behind it, whose range begins at zero.
        quantized = all(users.get(name) in (["QuantizeLinear"], ["Relu"]) for name in node.output)
        if not (dequantized or node.op_type == "Relu") or not quantized:
            raise ModelError(
                f"Expected every op of the int8 ONNX file between integers, got {node.op_type} "
                f"({node.name}) in float; replace that layer, or export without --int8."
            )


# What a runtime that optimizes leaves in float on purpose: nothing is computed there.
_EDGES = ("QuantizeLinear", "DequantizeLinear", *_MOVES)


def check_kernels(content: bytes) -> None:
    """Make sure that ONNX Runtime makes one integer op of every framed op, not a float one.

    Raises:
        ModelError: names the first op that it would compute in float.
    """
    with tempfile.TemporaryDirectory() as folder:
        options, out = SessionOptions(), Path(folder) / "optimized.onnx"
        options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(out)
        options.log_severity_level = 4
        InferenceSession(content, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(out).graph
    floats = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type not in _EDGES and floats & set(node.input):
            raise ModelError(
                f"Expected ops that ONNX Runtime computes in integers in the int8 ONNX file, got "
                f"{node.op_type} ({node.name}), for which it has floats alone; replace that "
                f"layer, or export without --int8."
            )


def _integer_input(model: onnx.ModelProto) -> None:
    """Take the first QuantizeLinear away, so that `image` is uint8 pixels.

    Between the input and it there are only ops that move values, and these take any type.
    """
    graph = model.graph
    value = graph.input[0].name
    while (node := _only_user(graph, value)).op_type in _MOVES:
        value = node.output[0]
    _expect(node, "QuantizeLinear")
    _note_quantization(model, "image", node)
    for user in graph.node:
        for position, name in enumerate(user.input):
            if name == node.output[0]:
                user.input[position] = value
    graph.node.remove(node)
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    # Inferred types on the way from the input were float.
    del graph.value_info[:]


def _integer_output(model: onnx.ModelProto) -> None:
    """Take the last DequantizeLinear away, so that `probabilities` is uint8."""
    graph = model.graph
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    _expect(last, "DequantizeLinear")
    _note_quantization(model, "probabilities", last)
    before = next(node for node in graph.node if last.input[0] in node.output)
    before.output[0] = graph.output[0].name
    graph.node.remove(last)
    graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8


def _only_user(graph: onnx.GraphProto, value: str) -> onnx.NodeProto:
    (user,) = (node for node in graph.node if value in node.input)
    return user


def _expect(node: onnx.NodeProto, op_type: str) -> None:
    if node.op_type != op_type:
        raise ValueError(f"Expected {op_type} at the edge of the QDQ graph, got {node.op_type}.")


def _note_quantization(model: onnx.ModelProto, tensor: str, node: onnx.NodeProto) -> None:
    """Write scale and zero point into the file: ONNX has no field for those of its edges."""
    values = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    scale_value, zero_point = (values[name].item() for name in node.input[1:])
    model.metadata_props.add(key=f"{tensor}.scale", value=repr(scale_value))
    model.metadata_props.add(key=f"{tensor}.zero_point", value=str(zero_point))


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Silence advice that does not apply: the graph is simplified before quantization."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


_CONVERTERS = {"float32": _float32, "float16": _float16, "dynamic": _dynamic}
