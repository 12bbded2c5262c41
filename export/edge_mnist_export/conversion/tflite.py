"""Keras model -> the bytes of a `.tflite` file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.util import modify_model_io_type
from tensorflow.lite.tools import flatbuffer_utils

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.errors import ModelError

from ..frameworks import quiet
from ..quantization.ranges import Range, observe
from ..quantization.search import Scheme
from .targets import PER_CHANNEL_DENSE, Needs
from .tflite_metadata import BUFFER, metadata, with_labels

# What `older` gives up, by precision: with a scale per channel of a dense layer's weights, the
# converter asks for FULLY_CONNECTED version 12, which tflite-runtime never had. With one scale
# the shipped CNN misreads as many of MNIST's 10,000 test images (67), the seed CNN 91, not 87.
OLDER = {"dynamic": "one scale for all weights of a dense layer"}


def convert(model: Any, *, precision: str, older: bool = False) -> bytes:
    """Return a TFLite model with input `image` and output `probabilities`, batch 1.

    Args:
        model: a Keras model from images (n, h, w, c) to probabilities.
        precision: float32; float16 weights; dynamic: int8 weights, float activations.
        older: give up what `OLDER` says, so that older runtimes load the file.
    """
    with quiet():
        return _name_tensors(_convert(model, _SETTINGS[precision], older=older))


class Quantizer:
    """A Keras model made integers only, uint8 in and out, by any scheme.

    The converter's own calibration knows the least and the greatest value alone: here the float
    model's activations are measured, and the ranges put into it in place of the converter's.
    """

    def __init__(
        self, model: Any, images: NDArray[np.float32], counts: Sequence[int], input_range: Range
    ) -> None:
        """Measure `images` (n, h, w, c), as the model takes them: the first of each of `counts`.

        `input_range` is what the pixels 0 and 255 are to the model.
        """

        def calibrate_only(converter: Any) -> None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: iter([[images[:1]]])
            # With no other op set allowed, an op that has no integer form fails.
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter._experimental_calibrate_only = True

        with quiet():
            self._float = _convert(model, calibrate_only)
        self._input_range = input_range
        self._statistics = observe(_all_tensors(self._float), images, counts)

    def quantize(self, scheme: Scheme) -> bytes:
        """Return the int8 file.

        Raises:
            ModelError: an op would stay float; the message names it.
        """
        model = flatbuffer_utils.read_model_from_bytearray(bytearray(self._float))
        (graph,) = model.subgraphs
        for name, statistics in self._statistics[scheme.images].items():
            _set_range(graph.tensors[int(name)], statistics.range(scheme.method))
        _set_range(graph.tensors[graph.inputs[0]], self._input_range)
        with quiet():
            content = mlir_quantize(
                _pack(model),
                disable_per_channel=not scheme.per_channel,
                input_data_type=tf.uint8,
                output_data_type=tf.uint8,
            )
            content = modify_model_io_type(content, tf.uint8, tf.uint8)
        content = _name_tensors(content)
        check_integer(content)
        return content


def _convert(model: Any, setting: Callable[[Any], None], *, older: bool = False) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _save(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serve"])
        setting(converter)
        converter._experimental_disable_per_channel_quantization_for_dense_layers = older
        return bytes(converter.convert())


def _all_tensors(
    content: bytes,
) -> Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]:
    """Return what runs a float model and gives every activation, by its index as a name."""
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        # XNNPACK would run several ops as one, and keep what lies between.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    (graph,) = flatbuffer_utils.read_model_from_bytearray(bytearray(content)).subgraphs
    made = {input_index, *(index for op in graph.operators for index in op.outputs)}
    floats = [i for i in sorted(made) if graph.tensors[i].type == schema.TensorType.FLOAT32]

    def run(image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        interpreter.set_tensor(input_index, image)
        interpreter.invoke()
        return {str(index): interpreter.get_tensor(index) for index in floats}

    return run


def _set_range(tensor: Any, range: Range) -> None:
    tensor.quantization.min = np.array(range[:1], np.float32)
    tensor.quantization.max = np.array(range[1:], np.float32)


def finish(content: bytes, spec: ModelSpec, *, batch: int | None = None) -> bytes:
    """Return the file with what it takes and answers written into it; its batch is always 1."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata(spec), np.uint8)
    entry.name, entry.buffer = BUFFER, len(model.buffers)
    model.buffers.append(buffer)
    # What the converter says of itself is left out: no runtime reads it.
    kept = [own for own in model.metadata if own.name != b"CONVERSION_METADATA"]
    model.metadata = [*kept, entry]
    _drop_empty_buffers(model)
    described = _pack(model)
    return with_labels(described, spec.labels)


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


def _drop_empty_buffers(model: Any) -> None:
    """Let what has no data share the first buffer, which is empty, and drop what nothing uses."""
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for tensor in tensors:
        if model.buffers[tensor.buffer].data is None:
            tensor.buffer = 0
    users = [*tensors, *model.metadata]
    used = sorted({0, *(user.buffer for user in users)})
    place = {old: new for new, old in enumerate(used)}
    model.buffers = [model.buffers[old] for old in used]
    for user in users:
        user.buffer = place[user.buffer]


class _Sharing(flatbuffers.Builder):  # type: ignore[misc]
    """Writes vectors that are equal once: zero points of channels were 6 % of a small file."""

    def __init__(self) -> None:
        super().__init__(1024)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[np.generic]) -> int:  # noqa: N802, its base's name
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


def _pack(model: Any) -> bytes:
    builder = _Sharing()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _name_tensors(content: bytes) -> bytes:
    """Name the input `image` and the output `probabilities`, as the ONNX files do.

    The others are named for their layer: "edge_1/conv2d_1/convolution;edge_1/…" is of every op
    that was fused, and such names were 5 % of a small file.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        tensor.name = (b"/" + tensor.name.split(b";")[0]).split(b"/")[-2:][0] or tensor.name
    graph.tensors[graph.inputs[0]].name = b"image"
    graph.tensors[graph.outputs[0]].name = b"probabilities"
    return _pack(model)


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


def _float32(converter: Any) -> None:
    pass


def _float16(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


_SETTINGS = {"float32": _float32, "float16": _float16, "dynamic": _dynamic}
