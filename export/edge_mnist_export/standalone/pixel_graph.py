"""A file's integer graph in; the graph from raw pixels to probabilities, and its outputs, out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.errors import ModelError
from edge_mnist.int8 import Graph, Softmax, Table, Value
from edge_mnist.int8.program import Program

# Images that numpy computes at once.
_BATCH = 64


def refuse(reason: str) -> ModelError:
    """Return the error of a model that no program can follow."""
    return ModelError(
        f"Expected an int8 model that a program without a runtime can follow, got {reason}; run "
        f"its .tflite file with a runtime instead.",
        code="model-program",
    )


def pixel_graph(graph: Graph, spec: ModelSpec) -> Graph:
    """Return the graph from pixels (0 to 255) to probabilities in steps of 1/256.

    Another scaling of the input becomes a table; logits get a softmax.

    Args:
        graph: of a file's operators.
        spec: of the same file.

    Raises:
        ModelError: a program cannot have this input or output.
    """
    if graph.values[graph.input].size != math.prod(spec.size):
        raise refuse(f"an input of {graph.values[graph.input].size} values")
    if spec.channels > 1 and tuple(graph.input_shape) != spec.size:
        raise refuse(f"colour images as {tuple(graph.input_shape)}")
    return _with_probabilities(_with_pixels(graph, spec), spec)


def _with_pixels(graph: Graph, spec: ModelSpec) -> Graph:
    value = graph.values[graph.input]
    low, high = (-128, 127) if value.signed else (0, 255)
    tables = [
        [spec.scaling.value(pixel, channel) / value.scale for pixel in range(256)]
        for channel in range(spec.channels)
    ]
    quantized = np.clip(np.rint(tables) + value.zero_point, low, high).astype(np.int64)
    if (quantized != quantized[0]).any():
        raise refuse("channels of different scaling")
    bytes = quantized[0].astype(np.uint8)
    if not value.signed and np.array_equal(bytes, np.arange(256)):
        return graph
    index = len(graph.values)
    pixels = Value(value.size, 1.0, 0, signed=False)
    return replace(
        graph,
        values=(*graph.values, pixels),
        operators=(Table(index, graph.input, bytes), *graph.operators),
        input=index,
    )


def _with_probabilities(graph: Graph, spec: ModelSpec) -> Graph:
    value = graph.values[graph.output]
    if value.size != len(spec.labels):
        raise refuse(f"{value.size} outputs for {len(spec.labels)} labels")
    if spec.output == "scores":
        raise refuse("scores instead of probabilities or logits")
    if spec.output == "logits":
        # float64's exponentials, rounded to float32, are the same on every processor.
        table = np.array([math.exp(-value.scale * step) for step in range(256)], np.float32)
        index = len(graph.values)
        softmax = Softmax(graph.output, index, value.size, table)
        return replace(
            graph,
            values=(*graph.values, Value(value.size, 1 / 256, -128)),
            operators=(*graph.operators, softmax),
            output=index,
        )
    if (value.scale, value.zero_point) != (1 / 256, -128 if value.signed else 0):
        raise refuse("probabilities in other steps than 1/256")
    return graph


def expected_outputs(graph: Graph, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the bytes (n, classes), 0 for no and 255 for full probability, of images (n, …)."""
    rows, program = images.reshape(len(images), -1), Program(graph, _BATCH)
    results = np.empty((len(rows), program.output.shape[1]), np.uint8)
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        # The bits of an int8 input; pixels are uint8.
        program.input[: len(batch)] = batch.view(program.input.dtype)
        program.run()
        results[start : start + _BATCH] = program.output[: len(batch)].view(np.uint8)
    return results ^ np.uint8(128 if graph.values[graph.output].signed else 0)
