"""A Keras model in, a float32 ONNX graph out that runs and quantizes well."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnxslim
import tensorflow as tf
import tf2onnx

from ..frameworks import quiet

# The first opset whose QuantizeLinear takes a scale per channel. A later opset would only exclude
# older runtimes.
OPSET = 13
# Names of the constant inputs of a node, from its second input on.
_INITIALIZER_ROLES = {"Conv": ("weight", "bias"), "Gemm": ("weight", "bias"), "Reshape": ("shape",)}


def trace(model: Any) -> onnx.ModelProto:
    """Return the float32 graph: input `image`, output `probabilities`, an open batch.

    tf2onnx's `from_keras` fails on Keras 3, so `from_function` is used. With an open batch it
    writes chains of Shape, Gather, Slice and Concat, which onnxslim folds.
    """
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32, name="image")]
    function = tf.function(
        lambda image: {"probabilities": model(image, training=False)}, input_signature=signature
    )
    traced, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    slim = onnxslim.slim(traced)
    for value in (slim.graph.input[0], slim.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    values = onnx.shape_inference.infer_shapes(slim).graph.value_info
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    _fuse_dense(slim.graph, shapes)
    _replace_global_pooling(slim.graph, shapes)
    _replace_sub_and_div(slim.graph)
    _rename(slim.graph)
    used = {node.domain for node in slim.graph.node}
    for entry in [e for e in slim.opset_import if e.domain and e.domain not in used]:
        slim.opset_import.remove(entry)
    return slim


def serialize(model: onnx.ModelProto) -> bytes:
    """Return the file of a model, checked."""
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


@contextlib.contextmanager
def quiet_conversion() -> Iterator[None]:
    """Silence native code and the libraries' advice to simplify the graph, which was done."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet():
            yield
    finally:
        logging.disable(level)


def _fuse_dense(graph: onnx.GraphProto, shapes: Mapping[str, list[int]]) -> None:
    """Replace MatMul and the Add of a bias by Gemm.

    Quantized on its own, a bias is an 8-bit activation. In a Gemm it has the 32 bits of the
    accumulator, and there is one rounding less.
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


def _replace_global_pooling(graph: onnx.GraphProto, shapes: Mapping[str, list[int]]) -> None:
    """Replace GlobalMaxPool by a MaxPool of the whole image, which has an integer kernel."""
    for node in graph.node:
        size = shapes.get(node.input[0], [])[2:]
        if node.op_type == "GlobalMaxPool" and all(size):
            node.op_type = "MaxPool"
            node.attribute.append(onnx.helper.make_attribute("kernel_shape", size))


def _replace_sub_and_div(graph: onnx.GraphProto) -> None:
    """Replace x - c by x + (-c), and x / c by x * (1 / c), which have integer kernels."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    replacements = {"Sub": ("Add", np.negative), "Div": ("Mul", np.reciprocal)}
    for node in graph.node:
        if node.op_type not in replacements or node.input[1] not in constants:
            continue
        value = onnx.numpy_helper.to_array(constants[node.input[1]])
        if value.dtype != np.float32:
            continue
        node.op_type, inverse = replacements[node.op_type]
        name = f"{node.input[1]}_for_{node.name}"
        graph.initializer.append(onnx.numpy_helper.from_array(inverse(value), name))
        node.input[1] = name
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _rename(graph: onnx.GraphProto) -> None:
    """Name nodes and values by operator and number, such as `conv_1` and `conv_1_weight`.

    tf2onnx numbers names across the whole process, so a second export would differ.
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
