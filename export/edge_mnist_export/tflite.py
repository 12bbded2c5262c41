"""Keras model -> the bytes of a `.tflite` file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from edge_mnist.errors import ModelError

from .frameworks import quiet
from .targets import PER_CHANNEL_DENSE, Needs

# What `older` gives up, by precision: with a scale per channel of a dense layer's weights, the
# converter asks for FULLY_CONNECTED version 12, which tflite-runtime never had. With one scale
# the shipped CNN misreads as many of MNIST's 10,000 test images (67), the seed CNN 91, not 87.
OLDER = {"dynamic": "one scale for all weights of a dense layer"}


def convert(
    model: Any, *, precision: str, calibration: NDArray[np.float32], older: bool = False
) -> bytes:
    """Return a TFLite model with input `image` and output `probabilities`, batch 1.

    Args:
        model: a Keras model from images (n, h, w, c) to probabilities.
        precision: float32; float16 weights; dynamic: int8 weights, float activations; int8:
            integers only, uint8 in and out.
        calibration: images (n, h, w, c) as the model takes them, that set int8's ranges.
        older: give up what `OLDER` says, so that older runtimes load the file.
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        _save(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serve"])
        _SETTINGS[precision](converter, calibration)
        converter._experimental_disable_per_channel_quantization_for_dense_layers = older
        content = _name_edges(converter.convert())
    if precision == "int8":
        check_integer(content)
    return content


def needs(content: bytes) -> Needs:
    """Return the highest version of every builtin op, which a runtime must know.

    A custom op stands as CUSTOM, which no runtime has.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    found: dict[str, int] = {}
    for code in model.operatorCodes:
        name = _op_name(code)
        found[name] = max(code.version, found.get(name, 0))
    return {**found, PER_CHANNEL_DENSE: 1} if _has_per_channel_dense(model) else found


def requirements(content: bytes) -> dict[str, Any]:
    """Return the ops, and the oldest TensorFlow Lite that the converter believes runs them."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    stated = next(entry for entry in model.metadata if entry.name == b"min_runtime_version")
    version = bytes(model.buffers[stated.buffer].data).rstrip(b"\0").decode()
    ops = {name: version for name, version in needs(content).items() if name != PER_CHANNEL_DENSE}
    return {"min_runtime_version": version, "ops": ops}


def _op_name(code: Any) -> str:
    # Files from before 127 ops existed hold the code in the field of one byte.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)


def _has_per_channel_dense(model: Any) -> bool:
    """Whether integers meet dense weights with a scale per channel; no op version says so."""
    return any(
        _op_name(model.operatorCodes[op.opcodeIndex]) == "FULLY_CONNECTED"
        and graph.tensors[op.inputs[0]].type == schema.TensorType.INT8
        and len(graph.tensors[op.inputs[1]].quantization.scale) > 1
        for graph in model.subgraphs
        for op in graph.operators
    )


# They stand around the op that stayed float, which is the one to name.
_CASTS = ("QUANTIZE", "DEQUANTIZE")


def check_integer(content: bytes) -> None:
    """Make sure that no op of an int8 file reads or writes a float.

    Raises:
        ModelError: names the first op that does.
    """
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.FLOAT64)
    for graph in model.subgraphs:
        for op in graph.operators:
            name = names[model.operatorCodes[op.opcodeIndex].builtinCode]
            tensors = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
            if any(tensor.type in floats for tensor in tensors) and name not in _CASTS:
                raise ModelError(
                    f"Expected integers only in the int8 TFLite file, got {name} in float "
                    f"({tensors[-1].name.decode()}); replace that layer, or export without --int8."
                )


def _name_edges(content: bytes) -> bytes:
    """Name the input `image` and the output `probabilities`, as the ONNX files do."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (graph,) = model.subgraphs
    graph.tensors[graph.inputs[0]].name = b"image"
    graph.tensors[graph.outputs[0]].name = b"probabilities"
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _save(model: Any, folder: str) -> None:
    """Write a SavedModel with one signature of fixed batch.

    ExportArchive freezes the variables; `from_concrete_functions` on a Keras 3 model leaves
    READ_VARIABLE ops behind, a file that converts and cannot run.
    """
    shape = (1, *model.inputs[0].shape[1:])
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda image: {"probabilities": model(image, training=False)},
        input_signature=[keras.InputSpec(shape=shape, dtype="float32", name="image")],
    )
    archive.write_out(folder, verbose=False)


def _float32(converter: Any, calibration: NDArray[np.float32]) -> None:
    pass


def _float16(converter: Any, calibration: NDArray[np.float32]) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter: Any, calibration: NDArray[np.float32]) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _int8(converter: Any, calibration: NDArray[np.float32]) -> None:
    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for image in calibration:
            yield [image[np.newaxis]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    # With no other op set allowed, an op that cannot be quantized fails instead of staying float.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8


_SETTINGS = {"float32": _float32, "float16": _float16, "dynamic": _dynamic, "int8": _int8}
