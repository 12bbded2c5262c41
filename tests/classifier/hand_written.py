"""What a user would write without this package: the measure of what it may cost.

Run as a program, it loads one file in one runtime and reads one blank image:
`python hand_written.py litert model.tflite`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np


def tflite(module: str, path: str) -> Callable[[np.ndarray], int]:
    """Return a loop body on LiteRT or tflite-runtime, from (28, 28) uint8 to the digit."""
    import importlib

    interpreter = importlib.import_module(f"{module}.interpreter").Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    index = interpreter.get_input_details()[0]["index"]
    output = interpreter.get_output_details()[0]["index"]

    def read(image: np.ndarray) -> int:
        interpreter.set_tensor(index, image[np.newaxis, :, :, np.newaxis])
        interpreter.invoke()
        return int(interpreter.get_tensor(output).argmax())

    return read


def onnx(path: str) -> Callable[[np.ndarray], int]:
    """Return a loop body on ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def read(image: np.ndarray) -> int:
        return int(session.run(None, {name: image[np.newaxis, :, :, np.newaxis]})[0].argmax())

    return read


def onnx_bound(path: str) -> Callable[[np.ndarray], int]:
    """Return a loop body on ONNX Runtime with input and output bound once: longer, and faster."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (tensor,), (output,) = session.get_inputs(), session.get_outputs()
    pixels, scores = np.zeros((1, *tensor.shape[1:]), np.uint8), np.zeros((1, 10), np.uint8)
    binding = session.io_binding()
    of = onnxruntime.OrtValue.ortvalue_from_numpy
    binding.bind_ortvalue_input(tensor.name, of(pixels))
    binding.bind_ortvalue_output(output.name, of(scores))

    def read(image: np.ndarray) -> int:
        pixels[...] = image[np.newaxis, :, :, np.newaxis]
        session.run_with_iobinding(binding)
        return int(scores.argmax())

    return read


def numpy(path: str) -> Callable[[np.ndarray], int]:
    """Return a loop body on this package's own arithmetic, without `Classifier`."""
    from edge_mnist.int8 import read_graph
    from edge_mnist.int8.program import Program

    program = Program(read_graph(Path(path).read_bytes()), 1)

    def read(image: np.ndarray) -> int:
        program.input[...] = image.reshape(program.input.shape)
        program.run()
        return int(program.output.argmax())

    return read


def load(backend: str, path: str) -> Callable[[np.ndarray], int]:
    """Return the loop body for a backend's name, or for "onnx_bound"."""
    if backend in ("onnx", "onnx_bound", "numpy"):
        return {"onnx": onnx, "onnx_bound": onnx_bound, "numpy": numpy}[backend](path)
    return tflite({"litert": "ai_edge_litert", "tflite": "tflite_runtime"}[backend], path)


if __name__ == "__main__":
    sys.stdout.write(f"{load(*sys.argv[1:])(np.zeros((28, 28), np.uint8))}\n")
