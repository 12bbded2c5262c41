"""The JSON document of a benchmark: built from measurements, written as text, read from a file.

schema-1.json describes the document.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..backends.environment import environment
from ..bundle import SHIPPED, sha256
from ..bundle.provenance import provenance
from ..errors import DataError
from ..system.machine import SensorReading
from .measurement import Group, Job, Measurement
from .pareto import int8_slowdowns, pareto_best
from .plan import Plan
from .quality_flags import machine_flags, row_flags
from .statistics import median_ns, summary

# 1: since version 0.1.0. Adding keys keeps the number; removing a key, or changing what it means,
# raises it.
SCHEMA = 1
INCLUDES = {
    "predict_us": "Classifier.predict: uint8 pixels of the model's size in, a digit out",
    "preprocess_us": "pixels to the values of the runtime's input tensor",
    "invoke_us": "the runtime: input copied in, model run, output copied out",
    "postprocess_us": "output tensor to digit",
    "first_us": "the first predict of a process",
    "load_ms": "reading and checking the file, creating the runtime's session",
    "import_ms": "importing numpy, Classifier and the runtime",
    "peak_rss_mb": "peak resident memory of the process, Python and numpy included",
}


def build_document(groups: Sequence[Group], plan: Plan, before: SensorReading) -> dict[str, Any]:
    """Return the document; `before` are the sensors before the first worker was started."""
    where = environment()
    pairs = [(m, group) for group in groups for m in group.measurements]
    labels = unique_labels([m.job.artifact.path for m, _ in pairs])
    keys = {id(m): _key(m.job, labels) for m, _ in pairs}
    results = [{**keys[id(m)], **_result(m, group, plan)} for m, group in pairs if not m.error]
    for result, best in zip(results, pareto_best(results), strict=True):
        result["pareto"] = best
    return {
        "schema": SCHEMA,
        "environment": where,
        "protocol": {
            "mode": plan.mode,
            "runs": plan.runs,
            "duration_s": plan.duration_s,
            "groups": len(groups),
            "intervals": "95 %, bootstrap of whole rounds",
            "includes": INCLUDES,
        },
        "evidence": {"before": asdict(before), "groups": list(map(_evidence, groups))},
        "results": results,
        "failed": [{**keys[id(m)], "error": m.error} for m, _ in pairs if m.error],
        "notes": int8_slowdowns(results, where["cpu_features"], where["machine"]),
    }


def unique_labels(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a label for each file: its name, after as many parent folders as make it unique."""
    parts = {path: path.absolute().parts for path in paths}
    labels = {path: path.name for path in parts}
    for count in range(2, max(map(len, parts.values())) + 1):
        taken = list(labels.values())
        for path in parts:
            if taken.count(labels[path]) > 1:
                labels[path] = "/".join(parts[path][-count:])
    return labels


def _key(job: Job, labels: dict[Path, str]) -> dict[str, Any]:
    path = job.artifact.path
    return {
        "file": job.artifact.name,
        "folder": "" if path.parent == Path(SHIPPED) else str(path.parent),
        "backend": job.runtime.backend,
        "threads": job.threads,
        "batch": 1,
        "label": labels[path],
    }


def _evidence(group: Group) -> dict[str, Any]:
    return {
        "own_s": round(group.own_s, 3),
        "wall_s": round(group.wall_s, 3),
        "readings": [{"at_s": at_s, **asdict(reading)} for at_s, reading in group.readings],
    }


def _result(measurement: Measurement, group: Group, plan: Plan) -> dict[str, Any]:
    artifact, runtime = measurement.job.artifact, measurement.job.runtime
    content, origin = artifact.path.read_bytes(), provenance(artifact)
    warm_up = measurement.warm_up
    row = {
        "runtime": f"{runtime.distribution} {runtime.version}",
        "format": artifact.format,
        "precision": artifact.precision,
        "sha256": sha256(content),
        "size_bytes": len(content),
        "accuracy": origin.accuracy,
        "accuracy_data": origin.accuracy_data,
        "model": {
            "bundle": origin.bundle,
            "manifest_sha256": origin.manifest_sha256,
            "trained_on": origin.trained_on,
        },
        **measurement.loaded,
        "warm_up": {name: warm_up[name] for name in ("predictions", "seconds", "stable")},
        **{f"{name}_us": summary(rounds) for name, rounds in measurement.rounds.items()},
        "peak_rss_mb": measurement.peak_rss_mb,
        "group": measurement.group,
    }
    readings = [reading for _, reading in group.readings]
    row["tainted"] = row_flags(row, measurement.rounds["predict"]) + machine_flags(
        readings, own_s=group.own_s, wall_s=group.wall_s
    )
    windows = plan.windows(len(measurement.starts_s))
    row["windows"] = _windows(measurement, group.wall_s / windows, windows)
    row["samples_ns"] = measurement.rounds
    return row


def _windows(measurement: Measurement, length_s: float, count: int) -> list[dict[str, Any]]:
    """Return the median of `predict` in every window of `length_s` seconds."""
    parts: dict[int, list[list[int]]] = {}
    for start_s, samples in zip(measurement.starts_s, measurement.rounds["predict"], strict=True):
        parts.setdefault(min(count - 1, int(start_s / length_s)), []).append(samples)
    return [
        {
            "start_s": round(index * length_s, 3),
            "n": sum(map(len, rounds)),
            "p50_us": round(median_ns(rounds) / 1000, 2),
        }
        for index, rounds in sorted(parts.items())
    ]


def as_json(document: dict[str, Any]) -> str:
    """Return the document as indented JSON, with the samples of each stage on one line."""
    lines: dict[str, str] = {}

    def placeholder(samples: Any) -> str:
        name = f"samples {len(lines)}"
        lines[name] = json.dumps(samples, separators=(",", ":"))
        return name

    results = [
        {**row, "samples_ns": {k: placeholder(rounds) for k, rounds in row["samples_ns"].items()}}
        for row in document["results"]
    ]
    text = json.dumps({**document, "results": results}, indent=1, allow_nan=False) + "\n"
    return re.sub(r'(": )"(samples \d+)"', lambda match: match[1] + lines[match[2]], text)


@contextlib.contextmanager
def reading(path: Path, *, most_bytes: float = math.inf) -> Iterator[Any]:
    """Yield the content of a file that `edge-mnist benchmark --json` wrote.

    Raises:
        DataError: the file cannot be read, is larger than `most_bytes` or has another schema; or
            the `with` block raised KeyError, TypeError or ValueError about its content.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise ValueError(f"{path.stat().st_size} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}")
        yield content
    except OSError as error:
        raise DataError(
            f"Expected a benchmark file at {path}, got: {error.strerror}.",
            code="data-benchmark-unreadable",
        ) from error
    except (
        *(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
    ) as error:
        raise DataError(
            f"Expected a benchmark file of schema {SCHEMA} (edge-mnist benchmark --json FILE), "
            f"got {path}: {error!r:.200}.",
            code="data-benchmark-schema",
        ) from error
