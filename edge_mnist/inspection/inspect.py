"""A model file and a runtime in; its layers with the cost of each out.

The time of a layer is the difference between two parts of the model: the layers up to it, and the
layers before it. docs/how-to/inspect.md says what limits that has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ..backends import Runtime
from ..benchmark.worker import packed
from ..benchmark.worker_process import WorkerProcess
from ..bundle import Artifact
from ..errors import ModelError
from ..foreign_models.check import check
from . import timing_worker
from .file_layers import read_layers
from .layer import Inspection, Layer, Times

# Upper bounds on the layers that are timed, and on the bytes of all their parts: each part is
# loaded, and holds its own copy of the weights.
_MOST_LAYERS, _MOST_BYTES = 150, 256 << 20


def inspect(artifact: Artifact, runtime: Runtime) -> Inspection:
    """Return the layers of a file, each with its time in this runtime with one thread.

    Raises:
        BundleError, ModelError: the file is missing or broken, or its layers cannot be read.
    """
    content = artifact.read()
    if not artifact.vouched:
        check(artifact, content, runtime=runtime, threads=1)
    layers = read_layers(artifact, content)
    if reason := _too_large(layers, content):
        return Inspection(runtime.backend, tuple(layers), None, reason)
    try:
        answer = _measure(artifact, runtime)
    except ModelError as error:
        return Inspection(runtime.backend, tuple(layers), None, str(error))
    shapes = {name: (tuple(shape), kind) for name, (shape, kind) in answer["shapes"].items()}
    layers = read_layers(artifact, content, shapes)
    return Inspection(
        runtime.backend, tuple(layers), times(answer["parts_us"], rounds=answer["rounds"])
    )


def times(parts_us: Sequence[float], *, rounds: int) -> Times:
    """Return the times of layers from those of parts of 0, 1, 2, … layers, in µs.

    A part cannot take longer than a larger one. Where it does, by noise, or because the runtime
    fuses its last layer with the next, it counts as the larger one's time.
    """
    least = list(parts_us)
    for index in range(len(least) - 2, -1, -1):
        least[index] = min(least[index], least[index + 1])
    layers = tuple(after - before for before, after in pairwise(least))
    return Times(layers, least[0], least[-1], rounds)


def _too_large(layers: Sequence[Layer], content: bytes) -> str:
    if len(layers) > _MOST_LAYERS:
        return f"{len(layers)} layers, at most {_MOST_LAYERS} are timed"
    needed = len(content) * (len(layers) + 1)
    if needed > _MOST_BYTES:
        return f"its parts take {needed >> 20} MB, at most {_MOST_BYTES >> 20} MB are loaded"
    return ""


def _measure(artifact: Artifact, runtime: Runtime) -> dict[str, Any]:
    with contextlib.closing(WorkerProcess(artifact.name, timing_worker.__name__)) as worker:
        return worker.ask({"artifact": packed(artifact), "backend": runtime.backend})
