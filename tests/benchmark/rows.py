"""Samples and document rows that several test modules use."""

from __future__ import annotations

from typing import Any

from edge_mnist.benchmark.statistics import summary

Rounds = list[list[int]]


def row(
    *, us: float = 20.0, size: int = 1000, accuracy: float | None = 0.99, **more: Any
) -> dict[str, Any]:
    rounds = [[round(1000 * us) + 10 * index for index in range(9)]] * 20
    defaults = {
        "file": "m.tflite",
        "label": "m.tflite",
        "folder": "bundle",
        "format": "tflite",
        "precision": "float32",
        "backend": "litert",
        "threads": 1,
        "batch": 1,
        "group": 0,
        "size_bytes": size,
        "accuracy": accuracy,
        "tainted": [],
        "predict_us": summary(rounds),
        "samples_ns": {"predict": rounds, "invoke": rounds},
    }
    return defaults | more
