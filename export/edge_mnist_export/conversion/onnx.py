"""A Keras model in, the bytes of an `.onnx` file out."""

from __future__ import annotations

import contextlib
import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import quantization
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from edge_mnist.bundle.model_spec import ModelSpec

from . import onnx_graph
from .onnx_graph import quiet_conversion, serialize
from .onnx_needs import needs, requirements
from .onnx_quantizer import Quantizer, make_weights_unsigned

__all__ = ["FALLBACKS", "Quantizer", "convert", "finish", "needs", "requirements", "trace"]

# There is no more compatible form of an ONNX file; see `tflite.FALLBACKS`.
FALLBACKS: dict[str, str] = {}


@contextlib.contextmanager
def trace(model: Any) -> Iterator[onnx.ModelProto]:
    """Yield the float32 graph; see `converter.Converter`."""
    with quiet_conversion():
        graph = onnx_graph.trace(model)
    yield graph


def convert(graph: onnx.ModelProto, *, precision: str, compatible: bool = False) -> bytes:
    """Return an ONNX model of an open batch; see `converter.Converter`.

    float16 computes in float16 between float32 input and output; dynamic has 8-bit weights in the
    dense layers and float activations. `compatible` has no effect.
    """
    with quiet_conversion():
        # The converters of the precisions change their argument.
        return serialize(_CONVERTERS[precision](copy.deepcopy(graph)))


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    half = convert_float_to_float16(model, keep_io_types=True)
    # The converter appends the casts of the output behind the nodes that use them.
    OnnxModel(half).topological_sort()
    return half


def _dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "dynamic.onnx"
        # Convolutions stay float: ONNX Runtime runs ConvInteger slower than a float convolution,
        # and most of the bytes are weights of dense layers.
        quantization.quantize_dynamic(
            model,
            out,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
        quantized = onnx.load(out)
    make_weights_unsigned(quantized)
    return quantized


_CONVERTERS = {"float32": lambda model: model, "float16": _float16, "dynamic": _dynamic}


def finish(content: bytes, spec: ModelSpec, *, batch: int | None = None) -> bytes:
    """Return the file with its labels in the metadata, and with a fixed batch unless None."""
    model = onnx.load_from_string(content)
    model.metadata_props.add(key="labels", value=json.dumps(spec.labels))
    if batch:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = batch
        # The shapes of the values between were inferred with an open batch.
        del model.graph.value_info[:]
    return serialize(model)
