"""A benchmark as a document (schema 1) and as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backends import Runtime
from ..bundle import Artifact
from ..tables import table
from .compare import SCHEMA
from .environment import environment
from .measure import measure


def run(jobs: Iterable[tuple[Artifact, Runtime, int]], *, runs: int) -> dict[str, Any]:
    """Measure each (file, runtime, threads) and return the JSON document."""
    results = [measure(a, runtime, threads=threads, runs=runs) for a, runtime, threads in jobs]
    return {"schema": SCHEMA, "environment": environment(), "results": results}


def text(document: dict[str, Any]) -> str:
    """Return the document for a terminal: where it was measured, a row a result, the taints."""
    where = document["environment"]
    lines = [
        f"{where['cpu']}, {where['cpus']} CPUs, {where['machine']}, Python {where['python']}, "
        f"numpy {where['numpy']}",
        "One image at a time; p50, p90 and p99 are of predict: a (28, 28) uint8 array in, "
        "a Prediction out.\n",
        table(
            (
                *("file", "backend", "threads", "load ms", "first µs", "invoke µs"),
                *("p50 µs", "p90 µs", "p99 µs", "peak MB"),
            ),
            [_row(result) for result in document["results"]],
        ),
    ]
    for result in document["results"]:
        if result["tainted"]:
            reasons = "; ".join(result["tainted"])
            lines.append(f"Tainted: {result['file']} on {result['backend']}: {reasons}")
    return "\n".join(lines)


def _row(result: dict[str, Any]) -> list[str]:
    predict = result["predict_us"]
    peak = result["peak_rss_mb"]
    return [
        result["file"],
        result["backend"],
        str(result["threads"]),
        f"{result['load_ms']:.1f}",
        f"{result['first_us']:.0f}",
        f"{result['invoke_us']['p50']:.1f}",
        f"{predict['p50']:.1f}",
        f"{predict['p90']:.1f}",
        f"{predict['p99']:.1f}",
        "–" if peak is None else f"{peak:.0f}",
    ]
