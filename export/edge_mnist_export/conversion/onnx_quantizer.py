"""A float32 ONNX graph and activation ranges in, an int8 file out.

Weights and activations are uint8, in the QDQ form: DequantizeLinear, operator, QuantizeLinear,
which a runtime computes as one integer operator. Input and output are uint8. Their scale and zero
point stand in the file's metadata.

The weights are symmetric, with the numbers of TFLite's int8 ones plus 128. On x86 processors
without VNNI, ONNX Runtime multiplies uint8 by int8 with instructions that saturate the sum of two
products at 16 bits. Its products of uint8 by uint8 are exact on every processor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions, quantization
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

from edge_mnist.errors import ModelError

from ..quantization.ranges import Range, Run, observe
from ..quantization.search import Scheme
from .onnx_graph import quiet_conversion, serialize

# TFLite's quantization of a softmax, so that both formats round probabilities equally.
_SOFTMAX = {"scale": np.array(1 / 256, np.float32), "zero_point": np.array(0, np.uint8)}
# Operators that only move values: they take any type and stay in it.
_MOVES = ("Reshape", "Transpose", "MaxPool", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Slice")
# Operators that compute nothing, so that it does not matter whether they are float.
_NOT_COMPUTING = ("QuantizeLinear", "DequantizeLinear", *_MOVES)


class Quantizer:
    """A Keras model that can be quantized by any scheme, to integers only, uint8 in and out."""

    def __init__(
        self,
        graph: onnx.ModelProto,
        images: NDArray[np.float32],
        counts: Sequence[int],
        input_range: Range,
    ) -> None:
        """Measure the activations of the float model; see `converter.Converter`."""
        self._float = graph
        self._input_range = input_range
        self._statistics = observe(_run_all_values(self._float), images, counts)

    def quantize(self, scheme: Scheme) -> bytes:
        """Return the int8 file.

        Raises:
            ModelError: an operator would stay float; the message names it.
        """
        statistics = self._statistics[scheme.images]
        ranges = {name: tensor.range(scheme.method) for name, tensor in statistics.items()}
        ranges["image"] = self._input_range
        with quiet_conversion():
            quantized = _quantize(self._float, ranges, per_channel=scheme.per_channel)
            make_weights_unsigned(quantized)
            _make_input_integer(quantized)
            _make_output_integer(quantized)
            check_integer(quantized)
            content = serialize(quantized)
            check_kernels(content)
        return content


def _run_all_values(model: onnx.ModelProto) -> Run:
    """Return a function that runs a float model and returns its image and every node's output."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    names = [name for node in model.graph.node for name in node.output]
    del wide.graph.output[:]
    wide.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = InferenceSession(wide.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        values = zip(names, session.run(names, {"image": image}), strict=True)
        floats = {name: value for name, value in values if value.dtype == np.float32}
        return {"image": image, **floats}

    return run


def _quantize(
    model: onnx.ModelProto, ranges: Mapping[str, Range], *, per_channel: bool
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        out, cache = Path(folder) / "int8.onnx", Path(folder) / "ranges.json"
        limits = {name: tuple(map(np.float32, limits)) for name, limits in ranges.items()}
        # ONNX Runtime takes these ranges from the cache instead of measuring its own.
        save_tensors_data(TensorsData(quantization.CalibrationMethod.MinMax, limits), cache)
        quantization.quantize_static(
            model,
            out,
            calibration_cache_path=cache,
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=per_channel,
            # Every operator of the graph, also those that ONNX Runtime by default leaves float.
            op_types_to_quantize=sorted({node.op_type for node in model.graph.node}),
            extra_options={"TensorQuantOverrides": {"probabilities": [_SOFTMAX]}},
        )
        return onnx.load(out)


def make_weights_unsigned(model: onnx.ModelProto) -> None:
    """Add 128 to int8 weights and their zero points, which leaves the numbers they stand for.

    ONNX Runtime's quantizer itself gives uint8 weights another scale than TFLite's.
    """
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8:
            values = onnx.numpy_helper.to_array(tensor).view(np.uint8) ^ np.uint8(128)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _make_input_integer(model: onnx.ModelProto) -> None:
    """Remove the first QuantizeLinear, so that `image` is uint8 pixels.

    Only operators that move values stand between the input and it.
    """
    graph = model.graph
    value = graph.input[0].name
    while (node := _only_user(graph, value)).op_type in _MOVES:
        value = node.output[0]
    _check_type(node, "QuantizeLinear")
    _write_quantization(model, "image", node)
    for user in graph.node:
        for position, name in enumerate(user.input):
            if name == node.output[0]:
                user.input[position] = value
    graph.node.remove(node)
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    # The inferred types of the values behind the input are still float.
    del graph.value_info[:]


def _make_output_integer(model: onnx.ModelProto) -> None:
    """Remove the last DequantizeLinear, so that `probabilities` is uint8."""
    graph = model.graph
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    _check_type(last, "DequantizeLinear")
    _write_quantization(model, "probabilities", last)
    before = next(node for node in graph.node if last.input[0] in node.output)
    before.output[0] = graph.output[0].name
    graph.node.remove(last)
    graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8


def _only_user(graph: onnx.GraphProto, value: str) -> onnx.NodeProto:
    (user,) = (node for node in graph.node if value in node.input)
    return user


def _check_type(node: onnx.NodeProto, op_type: str) -> None:
    if node.op_type != op_type:
        raise ValueError(f"Expected {op_type} at the edge of the QDQ graph, got {node.op_type}.")


def _write_quantization(model: onnx.ModelProto, tensor: str, node: onnx.NodeProto) -> None:
    """Write scale and zero point into the metadata: ONNX has no field for a graph's edges."""
    values = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    scale, zero_point = (values[name].item() for name in node.input[1:])
    model.metadata_props.add(key=f"{tensor}.scale", value=repr(scale))
    model.metadata_props.add(key=f"{tensor}.zero_point", value=str(zero_point))


def check_integer(model: onnx.ModelProto) -> None:
    """Make sure that every operator stands between DequantizeLinear and QuantizeLinear.

    Raises:
        ModelError: names the first operator that would stay float.
    """
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    users: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node.op_type)
    constants = {tensor.name for tensor in model.graph.initializer}
    edges = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        if node.op_type in _NOT_COMPUTING:
            continue
        activations = [name for name in node.input if name and name not in constants | edges]
        dequantized = all(makers[name] == "DequantizeLinear" for name in activations)
        # A runtime folds a Relu into the QuantizeLinear behind it, whose range begins at zero.
        quantized = all(users.get(name) in (["QuantizeLinear"], ["Relu"]) for name in node.output)
        if not (dequantized or node.op_type == "Relu") or not quantized:
            raise ModelError(
                f"Expected every op of the int8 ONNX file between integers, got {node.op_type} "
                f"({node.name}) in float; replace that layer, or export without --int8.",
                code="model-int8-onnx",
            )


def check_kernels(content: bytes) -> None:
    """Make sure that ONNX Runtime has an integer kernel for every operator.

    Raises:
        ModelError: names the first operator that it would compute in float.
    """
    with tempfile.TemporaryDirectory() as folder:
        options, out = SessionOptions(), Path(folder) / "optimized.onnx"
        options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(out)
        options.log_severity_level = 4
        InferenceSession(content, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(out).graph
    floats = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type not in _NOT_COMPUTING and floats & set(node.input):
            raise ModelError(
                f"Expected ops that ONNX Runtime computes in integers in the int8 ONNX file, got "
                f"{node.op_type} ({node.name}), for which it has only a float kernel; replace "
                f"that layer, or export without --int8.",
                code="model-int8-onnx",
            )
