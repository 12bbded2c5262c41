"""The process of one contender: a tool and a model file in, digits and latencies out.

It runs in the tool's own environment. Each function below loads a file and returns the shortest
code that a user of the tool would write: from MNIST images (n, 28, 28) uint8 to digits (n,). The
program answers requests on standard input, as lines of JSON; with `--once` it classifies one image
and ends.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Classify = Callable[[Any], Any]


def keras_predict(path: str, threads: int) -> Classify:
    model = _keras(path, threads)
    return lambda images: model.predict(_unit(images), verbose=0, batch_size=256).argmax(axis=1)


def keras_call(path: str, threads: int) -> Classify:
    model = _keras(path, threads)
    return lambda images: np.argmax(model(_unit(images), training=False), axis=1)


def _keras(path: str, threads: int) -> Any:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    return keras.saving.load_model(path, compile=False)


def litert(path: str, threads: int) -> Classify:
    from ai_edge_litert.interpreter import Interpreter

    return _tflite(Interpreter, path, threads)


def tflite(path: str, threads: int) -> Classify:
    from tflite_runtime.interpreter import Interpreter

    return _tflite(Interpreter, path, threads)


def _tflite(interpreter: Any, path: str, threads: int) -> Classify:
    model = interpreter(path, num_threads=threads)
    model.allocate_tensors()
    (tensor,), (output,) = model.get_input_details(), model.get_output_details()
    raw = tensor["dtype"] is np.uint8

    def classify(images: Any) -> Any:
        digits = np.empty(len(images), int)
        for number, image in enumerate(images):  # the files have batch size 1
            pixels = image[np.newaxis, ..., np.newaxis]
            model.set_tensor(tensor["index"], pixels if raw else pixels * np.float32(1 / 255))
            model.invoke()
            digits[number] = model.get_tensor(output["index"])[0].argmax()
        return digits

    return classify


def onnxruntime(path: str, threads: int) -> Classify:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (tensor,) = session.get_inputs()
    raw = "uint8" in tensor.type

    def classify(images: Any) -> Any:
        pixels = images[..., np.newaxis] if raw else _unit(images)
        return session.run(None, {tensor.name: pixels})[0].argmax(axis=1)

    return classify


def openvino(path: str, threads: int) -> Classify:
    import openvino as ov

    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    core = ov.Core()
    models: dict[int, Any] = {}

    def model(count: int) -> Any:
        if count not in models:  # an open batch size is several times slower
            read = core.read_model(path)
            read.reshape([count, 28, 28, 1])
            compiled = core.compile_model(read, "CPU", hints)
            models[count] = compiled.create_infer_request(), compiled.outputs[0]
        return models[count]

    raw = core.read_model(path).inputs[0].element_type == ov.Type.u8

    def classify(images: Any) -> Any:
        request, output = model(len(images))
        pixels = images[..., np.newaxis] if raw else _unit(images)
        return request.infer([pixels])[output].argmax(axis=1)

    return classify


def ncnn(path: str, threads: int) -> Classify:
    import ncnn as nn

    net = nn.Net()
    net.opt.num_threads = threads
    net.load_param(path)
    net.load_model(path.replace(".param", ".bin"))

    def classify(images: Any) -> Any:
        digits = np.empty(len(images), int)
        for number, image in enumerate(images):  # ncnn has no batches
            pixels = image[np.newaxis] * np.float32(
                1 / 255
            )  # a name of its own: ncnn.Mat does not keep it alive
            extractor = net.create_extractor()
            extractor.input("in0", nn.Mat(pixels))
            digits[number] = np.argmax(np.array(extractor.extract("out0")[1]))
        return digits

    return classify


def mnn(path: str, threads: int) -> Classify:
    import MNN

    model = MNN.Interpreter(path)
    session = model.createSession({"numThread": threads, "backend": "CPU"})
    tensor, output = model.getSessionInput(session), model.getSessionOutput(session)
    float32, layout = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Tensorflow
    batch = 1

    def classify(images: Any) -> Any:
        nonlocal batch
        shape = (len(images), 28, 28, 1)
        if len(images) != batch:
            batch = len(images)
            model.resizeTensor(tensor, shape)
            model.resizeSession(session)
        tensor.copyFrom(MNN.Tensor(shape, float32, _unit(images), layout))
        model.runSession(session)
        return np.array(output.getData()).reshape(len(images), 10).argmax(axis=1)

    return classify


def edge_mnist(path: str, threads: int) -> Classify:
    from edge_mnist import Classifier

    classifier = Classifier(path, threads=threads)

    def classify(images: Any) -> Any:
        if len(images) > 1:
            return classifier.predict_batch(images)
        return [classifier.predict(images[0]).probabilities.argmax()]

    return classify


def _unit(images: Any) -> Any:
    """Return images as float32 (n, 28, 28, 1) in [0, 1]."""
    return images[..., np.newaxis] * np.float32(1 / 255)


def time_calls(classify: Classify, images: Any, batch: int, seconds: float) -> list[int]:
    """Return the nanoseconds of each call on `batch` images, of three calls or more."""
    clock = time.perf_counter_ns
    samples: list[int] = []
    end = clock() + int(seconds * 1e9)
    while len(samples) < 3 or clock() < end:
        at = len(samples) * batch % (len(images) - batch + 1)
        part = images[at : at + batch]
        start = clock()
        classify(part)
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
    """Answer requests: {"read": n} with n digits, {"batch", "seconds"} with samples."""
    # What a tool prints goes to stderr, so that stdout holds the answers only.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    classify = globals()[tool](path, int(threads))
    pixels = np.load(images)
    first = [int(digit) for digit in classify(pixels[:1])]
    print(json.dumps({"first": first}), file=out, flush=True)
    if once:
        return
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"peak_mb": peak_mb()}
        if "read" in request:
            singles = (pixels[i : i + 1] for i in range(request["read"]))
            answer["digits"] = [int(classify(image)[0]) for image in singles]
        else:
            answer["ns"] = time_calls(classify, pixels, request["batch"], request["seconds"])
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
