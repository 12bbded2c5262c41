"""Which architecture fits a limit: each is made int8 untrained, weighed, and timed here.

Neither the size of a file nor its time depends on what the weights have learnt.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_mnist import backends
from edge_mnist.bundle import Artifact
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.classifier import Classifier
from edge_mnist.datasets import synthetic
from edge_mnist.errors import ModelError

from ..data.model_input import as_input
from ..quantization.search import Scheme
from ..verification import latency

# The most accurate first; `seed` is larger, slower and less accurate than `edge`.
ARCHITECTURES = ("accurate", "edge", "nano", "pico")
_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "KIB": 1024, "MIB": 1024**2}
_IMAGES = 20


class Candidate(NamedTuple):
    """What an architecture costs as an int8 TFLite file: bytes, and one run on one thread here."""

    arch: str
    size_bytes: int
    invoke_us: float


def parse_size(text: str) -> int:
    """Return the bytes that a size such as 15KB stands for; KB is 1,000 bytes, KiB 1,024.

    Raises:
        ValueError: it is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text, re.IGNORECASE)
    if not match or match[2].upper() not in _UNITS:
        raise ValueError(text)
    return int(float(match[1]) * _UNITS[match[2].upper()])


def measure(archs: Sequence[str] = ARCHITECTURES) -> list[Candidate]:
    """Build every architecture and return what it costs, all timed in turn."""
    from ..conversion import tflite
    from . import architectures

    spec = ModelSpec()
    images = synthetic.draw(np.arange(_IMAGES) % 10, seed=0)
    runtime = backends.installed("tflite")[0]
    with tempfile.TemporaryDirectory() as folder:
        classifiers = {}
        for arch in archs:
            model = architectures.build(arch)
            # Weights that differ, as learnt ones do: a file holds what is equal once.
            rng = np.random.default_rng(0)
            model.set_weights([rng.uniform(0.1, 1, one.shape) for one in model.get_weights()])
            quantizer = tflite.Quantizer(model, as_input(images), (_IMAGES,), spec.range)
            path = Path(folder) / f"{arch}.tflite"
            path.write_bytes(tflite.finish(quantizer.quantize(Scheme(_IMAGES)), spec))
            artifact = Artifact(path, "tflite", "int8", spec)
            classifiers[arch] = Classifier.from_artifact(artifact, runtime)
        times = latency.invoke_us(classifiers)
        sizes = {arch: one.artifact.path.stat().st_size for arch, one in classifiers.items()}
    return [Candidate(arch, sizes[arch], times[arch]) for arch in archs]


def choose(
    candidates: Sequence[Candidate], *, max_bytes: int | None, max_us: float | None
) -> tuple[str, list[str]]:
    """Return the first that fits, and a line for every candidate that says why or why not.

    Raises:
        ModelError: none fits.
    """
    chosen, lines = None, []
    for arch, size, us in candidates:
        against = []
        if max_bytes is not None and size > max_bytes:
            against.append("too large")
        if max_us is not None and us > max_us:
            against.append("too slow")
        if not against and chosen is None:
            chosen = arch
            against.append("chosen: the most accurate that fits")
        lines.append(
            f"{arch:<9} {size:>9,} bytes {us:>7.1f} µs  {', '.join(against) or 'fits too'}"
        )
    if chosen is None:
        limits = [
            *([f"{max_bytes:,} bytes"] if max_bytes is not None else []),
            *([f"{max_us:g} µs"] if max_us is not None else []),
        ]
        smallest = min(candidates, key=lambda one: one.size_bytes)
        fastest = min(candidates, key=lambda one: one.invoke_us)
        raise ModelError(
            f"Expected limits that some architecture keeps, got {' and '.join(limits)}; the "
            f"smallest here is {smallest.arch} with {smallest.size_bytes:,} bytes, the fastest "
            f"{fastest.arch} with {fastest.invoke_us:.1f} µs. Give more."
        )
    return chosen, lines
