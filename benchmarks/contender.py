"""One tool, asked to read digits: runs in the tool's own environment, and imports nothing else.

Each function below loads a file and returns the shortest code that a user of the tool would write:
from MNIST images (n, 28, 28) uint8 to digits (n,). As a program, it loads one and answers requests,
a line of JSON each, on standard input; with `--once` it reads one image and ends.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Digits = Callable[[Any], Any]


def keras_predict(path: str, threads: int) -> Digits:
    model = _keras(path, threads)
    return lambda images: model.predict(_unit(images), verbose=0, batch_size=256).argmax(axis=1)


def keras_call(path: str, threads: int) -> Digits:
    model = _keras(path, threads)
    return lambda images: np.argmax(model(_unit(images), training=False), axis=1)


def _keras(path: str, threads: int) -> Any:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    return keras.saving.load_model(path, compile=False)


def litert(path: str, threads: int) -> Digits:
    from ai_edge_litert.interpreter import Interpreter

    return _tflite(Interpreter, path, threads)


def tflite(path: str, threads: int) -> Digits:
    from tflite_runtime.interpreter import Interpreter

    return _tflite(Interpreter, path, threads)


def _tflite(interpreter: Any, path: str, threads: int) -> Digits:
    model = interpreter(path, num_threads=threads)
    model.allocate_tensors()
    (given,), (answered,) = model.get_input_details(), model.get_output_details()
    raw = given["dtype"] is np.uint8

    def digits(images: Any) -> Any:
        found = np.empty(len(images), int)
        for number, image in enumerate(images):  # the files are of one image
            pixels = image[np.newaxis, ..., np.newaxis]
            model.set_tensor(given["index"], pixels if raw else pixels * np.float32(1 / 255))
            model.invoke()
            found[number] = model.get_tensor(answered["index"])[0].argmax()
        return found

    return digits


def onnxruntime(path: str, threads: int) -> Digits:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    raw = "uint8" in given.type

    def digits(images: Any) -> Any:
        pixels = images[..., np.newaxis] if raw else _unit(images)
        return session.run(None, {given.name: pixels})[0].argmax(axis=1)

    return digits


def openvino(path: str, threads: int) -> Digits:
    import openvino as ov

    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    core = ov.Core()
    models: dict[int, Any] = {}

    def model(count: int) -> Any:
        if count not in models:  # open sizes are several times slower
            read = core.read_model(path)
            read.reshape([count, 28, 28, 1])
            compiled = core.compile_model(read, "CPU", hints)
            models[count] = compiled.create_infer_request(), compiled.outputs[0]
        return models[count]

    raw = core.read_model(path).inputs[0].element_type == ov.Type.u8

    def digits(images: Any) -> Any:
        request, output = model(len(images))
        pixels = images[..., np.newaxis] if raw else _unit(images)
        return request.infer([pixels])[output].argmax(axis=1)

    return digits


def ncnn(path: str, threads: int) -> Digits:
    import ncnn as nn

    net = nn.Net()
    net.opt.num_threads = threads
    net.load_param(path)
    net.load_model(path.replace(".param", ".bin"))

    def digits(images: Any) -> Any:
        found = np.empty(len(images), int)
        for number, image in enumerate(images):  # ncnn takes one image
            pixels = image[np.newaxis] * np.float32(1 / 255)  # ncnn.Mat does not keep it alive
            extractor = net.create_extractor()
            extractor.input("in0", nn.Mat(pixels))
            found[number] = np.argmax(np.array(extractor.extract("out0")[1]))
        return found

    return digits


def mnn(path: str, threads: int) -> Digits:
    import MNN

    model = MNN.Interpreter(path)
    session = model.createSession({"numThread": threads, "backend": "CPU"})
    given, answered = model.getSessionInput(session), model.getSessionOutput(session)
    float32, layout = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Tensorflow
    held = 1

    def digits(images: Any) -> Any:
        nonlocal held
        shape = (len(images), 28, 28, 1)
        if len(images) != held:
            held = len(images)
            model.resizeTensor(given, shape)
            model.resizeSession(session)
        given.copyFrom(MNN.Tensor(shape, float32, _unit(images), layout))
        model.runSession(session)
        return np.array(answered.getData()).reshape(len(images), 10).argmax(axis=1)

    return digits


def edge_mnist(path: str, threads: int) -> Digits:
    from edge_mnist import Classifier

    classifier = Classifier(path, threads=threads)

    def digits(images: Any) -> Any:
        if len(images) > 1:
            return classifier.predict_batch(images)
        return [classifier.predict(images[0]).probabilities.argmax()]

    return digits


def _unit(images: Any) -> Any:
    return images[..., np.newaxis] * np.float32(1 / 255)


def timed(call: Digits, images: Any, batch: int, seconds: float) -> list[int]:
    """Return nanoseconds of each call on `batch` images, three calls or more."""
    clock = time.perf_counter_ns
    samples: list[int] = []
    end = clock() + int(seconds * 1e9)
    while len(samples) < 3 or clock() < end:
        at = len(samples) * batch % (len(images) - batch + 1)
        some = images[at : at + batch]
        start = clock()
        call(some)
        samples.append(clock() - start)
    return samples


def peak_mb() -> float | None:
    """Return this process's peak resident size in MB (10⁶ bytes)."""
    with open("/proc/self/status", encoding="utf-8") as status:  # noqa: PTH123
        for line in status:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return None


def main(tool: str, path: str, threads: str, images: str, *once: str) -> None:
    """Serve requests: {"read": n} digits of n images, {"batch", "seconds"} samples."""
    # Whatever a tool prints goes to stderr: the answers are alone on stdout.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    call = globals()[tool](path, int(threads))
    pixels = np.load(images)
    first = [int(digit) for digit in call(pixels[:1])]
    print(json.dumps({"first": first}), file=out, flush=True)
    if once:
        return
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"peak_mb": peak_mb()}
        if "read" in request:
            answer["digits"] = [int(call(pixels[i : i + 1])[0]) for i in range(request["read"])]
        else:
            answer["ns"] = timed(call, pixels, request["batch"], request["seconds"])
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
