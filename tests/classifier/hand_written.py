"""What a user would write without this package: the measure of what it may cost.

Run as a program, it loads one file in one runtime and reads one blank image:
`python hand_written.py litert model.tflite`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

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


def load(backend: str, path: str) -> Callable[[np.ndarray], int]:
    """Return the loop body for a backend's name."""
    if backend == "onnx":
        return onnx(path)
    return tflite({"litert": "ai_edge_litert", "tflite": "tflite_runtime"}[backend], path)


if __name__ == "__main__":
    sys.stdout.write(f"{load(*sys.argv[1:])(np.zeros((28, 28), np.uint8))}\n")
