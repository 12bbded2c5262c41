"""An ONNX file of a bundle in; a model repository for Triton and KServe out.

`tritonserver --model-repository BUNDLE/triton` serves it. The layout and the configuration are
those of https://github.com/triton-inference-server/server, `docs/user_guide`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from edge_mnist.backends import RUNTIMES, Tensor
from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.classifier.loading import LoadedModel
from edge_mnist.system.version import __version__

_CONFIG, _LABELS, _VERSION = "config.pbtxt", "labels.txt", "1"
# Images. ONNX Runtime answers no more images a second in larger batches of `edge`: AMD EPYC.
_MAX_BATCH = 64
# By default ONNX Runtime starts a thread for each core. Two answered no more images a second of
# `edge` than one, in 1.7 times the processor time: AMD EPYC, batches of 1 to 256.
_THREADS = {"intra_op_thread_count": "1", "inter_op_thread_count": "1"}
_TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8", "int8": "TYPE_INT8"}


def model_name(text: str) -> str:
    """Return the name of a model as a folder and a part of an address."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "model"


def repository(artifact: Artifact, name: str) -> dict[str, bytes]:
    """Return the files of a model repository by their paths.

    The model file is the bundle's own, byte for byte. One file has an open batch, which Triton
    fills with the images of requests that wait (dynamic batching). A fixed batch is part of the
    shape instead, as Triton wants it.

    Args:
        artifact: an `.onnx` file with a model spec.
        name: the model's name, from `model_name`.

    Raises:
        ModelError: ONNX Runtime cannot load the file.
    """
    assert artifact.spec is not None
    session = LoadedModel.from_artifact(artifact, RUNTIMES["onnx"]).session
    config = "\n".join(_config(name, session.input, session.output, artifact.spec)) + "\n"
    # One label a line.
    labels = "".join(f"{' '.join(label.splitlines())}\n" for label in artifact.spec.labels)
    return {
        f"{name}/{_CONFIG}": config.encode(),
        f"{name}/{_LABELS}": labels.encode(),
        f"{name}/{_VERSION}/model.onnx": artifact.read(),
    }


def _config(name: str, image: Tensor, scores: Tensor, spec: ModelSpec) -> Iterator[str]:
    """Yield the lines of the model's configuration, in protobuf's text format."""
    fixed = image.shape[0] > 0
    yield f"# Written by edge-mnist {__version__}"
    yield f'name: "{name}"'
    yield 'backend: "onnxruntime"'
    yield f"max_batch_size: {0 if fixed else _MAX_BATCH}"
    yield from _tensor("input", image, fixed=fixed)
    yield from _tensor("output", scores, fixed=fixed, more=f', label_filename: "{_LABELS}"')
    if not fixed:
        yield "dynamic_batching { }"
    yield "# On the processor, as the bundle's figures were measured."
    yield "instance_group [ { kind: KIND_CPU, count: 1 } ]"
    yield "# Threads of an instance. More would spin while they wait: add instances instead."
    yield from _parameters(_THREADS)
    yield "# For clients. They compute (pixel * scale - mean) / std; a tensor of integers holds"
    yield "# value / scale + zero_point. Below the rejection threshold there is no digit."
    yield from _parameters(_for_clients(image, scores, spec))


def _tensor(field: str, tensor: Tensor, *, fixed: bool, more: str = "") -> Iterator[str]:
    dims = ", ".join(map(str, tensor.shape if fixed else tensor.shape[1:]))
    parts = f'name: "{tensor.name}", data_type: {_TYPES[tensor.dtype]}, dims: [ {dims} ]{more}'
    yield f"{field} [ {{ {parts} }} ]"


def _for_clients(image: Tensor, scores: Tensor, spec: ModelSpec) -> dict[str, str]:
    """Return what a client has to know to get the answers of `Classifier`."""
    numbers = {
        "pixel_scale": (spec.scaling.scale,),
        "pixel_mean": spec.scaling.mean,
        "pixel_std": spec.scaling.std,
        "rejection_threshold": (spec.threshold,),
    }
    for tensor in (image, scores):
        if tensor.scale:
            numbers[f"{tensor.name}.scale"] = (tensor.scale,)
            numbers[f"{tensor.name}.zero_point"] = (tensor.zero_point,)
    return {key: ",".join(map(repr, values)) for key, values in numbers.items()}


def _parameters(values: Mapping[str, str]) -> Iterator[str]:
    for key, value in values.items():
        yield f'parameters {{ key: "{key}", value {{ string_value: "{value}" }} }}'
