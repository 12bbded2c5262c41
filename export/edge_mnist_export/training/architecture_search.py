"""Limits on size and latency in, the most accurate architecture within them out.

Every architecture is exported to int8 with random weights. Size and latency do not depend on
training.
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
from edge_mnist.errors import ModelError

from ..data.model_input import as_input
from ..quantization.search import Scheme
from ..verification import latency

# Most accurate first. `seed` is absent: `edge` is smaller, faster and more accurate.
_ARCHITECTURES = ("accurate", "edge", "nano", "pico")
_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "KIB": 1024, "MIB": 1024**2}
_DIGITS = ModelSpec()
_CALIBRATION_IMAGES = 20  # enough for a valid int8 file; its accuracy does not matter


class Candidate(NamedTuple):
    """Cost of an architecture as an int8 TFLite file."""

    arch: str
    size_bytes: int
    invoke_us: float  # latency of one run, on one thread of this machine


def parse_size(text: str) -> int:
    """Return the bytes in a size such as "15KB" (1,000 bytes each) or "15KiB" (1,024).

    Raises:
        ValueError: the text is not a size of at least one byte.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text, re.IGNORECASE)
    size = int(float(match[1]) * _UNITS.get(match[2].upper(), 0)) if match else 0
    if not size:
        raise ValueError(text)
    return size


def measure(archs: Sequence[str] = _ARCHITECTURES, *, spec: ModelSpec = _DIGITS) -> list[Candidate]:
    """Export every architecture and measure its size and latency, in alternation.

    Args:
        archs: their names.
        spec: the size of the images, and the labels.
    """
    runtime = backends.installed("tflite")[0]
    with tempfile.TemporaryDirectory() as folder:
        paths = {arch: Path(folder) / f"{arch}.tflite" for arch in archs}
        for arch, path in paths.items():
            path.write_bytes(_export_untrained(arch, spec))
        classifiers = {
            arch: Classifier.from_artifact(
                Artifact(path, "tflite", "int8", spec, vouched=True), runtime
            )
            for arch, path in paths.items()
        }
        latency_us = latency.invoke_us(classifiers)
        return [Candidate(arch, paths[arch].stat().st_size, latency_us[arch]) for arch in archs]


def _export_untrained(arch: str, spec: ModelSpec) -> bytes:
    """Return an int8 TFLite file with random weights."""
    from ..conversion import tflite
    from . import architectures

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (_CALIBRATION_IMAGES, *spec.size), np.uint8)
    model = architectures.build(arch, shape=spec.size, classes=len(spec.labels))
    # All weights differ, as trained ones do: a file stores equal tensors only once.
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    with tflite.trace(model) as graph:
        quantizer = tflite.Quantizer(graph, as_input(images), (_CALIBRATION_IMAGES,), spec.range)
    return tflite.finish(quantizer.quantize(Scheme(_CALIBRATION_IMAGES)), spec)


def choose(
    candidates: Sequence[Candidate], *, max_bytes: int | None, max_us: float | None
) -> tuple[str, list[str]]:
    """Return the first candidate within the limits, and one line of text about each candidate.

    Args:
        candidates: the most accurate first.
        max_bytes: limit on the file's size; None for none.
        max_us: limit on the latency in microseconds; None for none.

    Raises:
        ModelError: no candidate is within the limits.
    """
    chosen, lines = None, []
    for arch, size, us in candidates:
        too_large = max_bytes is not None and size > max_bytes
        too_slow = max_us is not None and us > max_us
        verdict = ["too large"] * too_large + ["too slow"] * too_slow
        if not verdict and chosen is None:
            chosen = arch
            verdict = ["chosen: the most accurate that fits"]
        lines.append(
            f"{arch:<9} {size:>9,} bytes {us:>7.1f} µs  {', '.join(verdict) or 'fits too'}"
        )
    if chosen is None:
        raise _nothing_fits(candidates, max_bytes, max_us)
    return chosen, lines


def _nothing_fits(
    candidates: Sequence[Candidate], max_bytes: int | None, max_us: float | None
) -> ModelError:
    size = None if max_bytes is None else f"{max_bytes:,} bytes"
    latency = None if max_us is None else f"{max_us:g} µs"
    smallest = min(candidates, key=lambda candidate: candidate.size_bytes)
    fastest = min(candidates, key=lambda candidate: candidate.invoke_us)
    return ModelError(
        f"Expected limits within which an architecture fits, got "
        f"{' and '.join(filter(None, (size, latency)))}; the smallest here is {smallest.arch} with "
        f"{smallest.size_bytes:,} bytes, the fastest {fastest.arch} with {fastest.invoke_us:.1f} "
        f"µs; raise the limits.",
        code="model-limits",
    )
