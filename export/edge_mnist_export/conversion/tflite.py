"""A Keras model in, the bytes of a `.tflite` file out."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.util import modify_model_io_type

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.errors import ModelError

from ..frameworks import quiet
from ..quantization.ranges import Range, Run, observe
from ..quantization.search import Scheme
from . import tflite_file
from .tflite_metadata import BUFFER, metadata, with_labels
from .tflite_needs import needs, requirements

__all__ = ["FALLBACKS", "Quantizer", "convert", "finish", "needs", "requirements", "trace"]

# The effect of `compatible=True`, by precision. Per-channel weights of a dense layer need
# FULLY_CONNECTED version 12, which no release of tflite-runtime has. On MNIST's 10,000 test images
# one scale per layer costs the shipped model no error (67 both times) and the seed CNN 4 (91, not
# 87).
FALLBACKS = {"dynamic": "one scale for all weights of a dense layer"}


@contextlib.contextmanager
def trace(model: Any) -> Iterator[str]:
    """Yield the folder of a SavedModel with one signature of batch 1.

    ExportArchive freezes the variables. `from_concrete_functions` on a Keras 3 model leaves
    READ_VARIABLE operators: the file converts but cannot run.
    """
    shape = (1, *model.inputs[0].shape[1:])
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            archive = keras.export.ExportArchive()
            archive.track(model)
            archive.add_endpoint(
                "serve",
                lambda image: {"probabilities": model(image, training=False)},
                input_signature=[keras.InputSpec(shape=shape, dtype="float32", name="image")],
            )
            archive.write_out(folder, verbose=False)
        yield folder


def convert(graph: str, *, precision: str, compatible: bool = False) -> bytes:
    """Return a TFLite model of batch 1; see `converter.Converter`.

    float16 has float16 weights; dynamic has int8 weights and float activations.
    """

    def set_precision(converter: Any) -> None:
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]

    with quiet():
        content = _convert(graph, set_precision, per_channel_dense=not compatible)
        return tflite_file.name_tensors(content)


class Quantizer:
    """A Keras model that can be quantized by any scheme, to integers only, uint8 in and out.

    The converter's own calibration records only minimum and maximum. Here the activations of the
    float model are measured, and the scheme's ranges replace the converter's.
    """

    def __init__(
        self, graph: str, images: NDArray[np.float32], counts: Sequence[int], input_range: Range
    ) -> None:
        """Convert the float model and measure its activations; see `converter.Converter`."""

        def calibrate_only(converter: Any) -> None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: iter([[images[:1]]])
            # Without another operator set, an operator that has no integer form fails.
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter._experimental_calibrate_only = True

        with quiet():
            self._float = _convert(graph, calibrate_only)
        self._input_range = input_range
        self._statistics = observe(_run_all_tensors(self._float), images, counts)

    def quantize(self, scheme: Scheme) -> bytes:
        """Return the int8 file.

        Raises:
            ModelError: an operator would stay float; the message names it.
        """
        model = tflite_file.read(self._float)
        (graph,) = model.subgraphs
        for name, statistics in self._statistics[scheme.images].items():
            _set_range(graph.tensors[int(name)], statistics.range(scheme.method))
        _set_range(graph.tensors[graph.inputs[0]], self._input_range)
        with quiet():
            content = mlir_quantize(
                tflite_file.pack(model),
                disable_per_channel=not scheme.per_channel,
                input_data_type=tf.uint8,
                output_data_type=tf.uint8,
            )
            content = modify_model_io_type(content, tf.uint8, tf.uint8)
        content = tflite_file.name_tensors(content)
        check_integer(content)
        return content


def _convert(
    graph: str, setting: Callable[[Any], None], *, per_channel_dense: bool = True
) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(graph, signature_keys=["serve"])
    setting(converter)
    converter._experimental_disable_per_channel_quantization_for_dense_layers = (
        not per_channel_dense
    )
    return bytes(converter.convert())


def _run_all_tensors(content: bytes) -> Run:
    """Return a function that runs a float model and returns its activations by tensor index."""
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        # XNNPACK would fuse operators and keep the tensors between them to itself.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    (graph,) = tflite_file.read(content).subgraphs
    computed = {input_index, *(index for op in graph.operators for index in op.outputs)}
    floats = [i for i in sorted(computed) if graph.tensors[i].type == schema.TensorType.FLOAT32]

    def run(image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        interpreter.set_tensor(input_index, image)
        interpreter.invoke()
        return {str(index): interpreter.get_tensor(index) for index in floats}

    return run


def _set_range(tensor: Any, range: Range) -> None:
    tensor.quantization.min = np.array(range[:1], np.float32)
    tensor.quantization.max = np.array(range[1:], np.float32)


def finish(content: bytes, spec: ModelSpec, *, batch: int | None = None) -> bytes:
    """Return the file with TFLite Metadata and labels. `batch` has no effect: it is always 1."""
    described = tflite_file.with_metadata(content, BUFFER, metadata(spec))
    return with_labels(described, spec.labels)


# These surround an operator that stayed float. The message names that operator instead.
_CASTS = ("QUANTIZE", "DEQUANTIZE")
_FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.FLOAT64)


def check_integer(content: bytes) -> None:
    """Make sure that no operator of an int8 file reads or writes a float.

    Raises:
        ModelError: names the first operator that does.
    """
    model = tflite_file.read(content)
    for graph in model.subgraphs:
        for op in graph.operators:
            name = tflite_file.operator_name(model.operatorCodes[op.opcodeIndex])
            tensors = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
            if any(tensor.type in _FLOATS for tensor in tensors) and name not in _CASTS:
                raise ModelError(
                    f"Expected integers only in the int8 TFLite file, got {name} in float "
                    f"({tensors[-1].name.decode()}); replace that layer, or export without --int8.",
                    code="model-int8-tflite",
                )
