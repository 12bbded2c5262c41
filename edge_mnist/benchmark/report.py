"""A benchmark as a document, and as a table for a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..backends import Runtime
from ..backends.environment import environment
from ..bundle import SHIPPED, Artifact, read_bundle, sha256
from ..errors import BundleError, ModelError
from ..system import machine
from ..system.text_table import percent, table
from . import pareto, quality_flags, runner
from .compare import SCHEMA
from .plan import Plan
from .runner import Group, Job, Progress, Track
from .statistics import median_ns, rounded, summary

# What stands for nothing in a table.
NONE = "–"
INCLUDES = {
    "predict_us": "Classifier.predict: an array of pixels of the model's size in, a Prediction out",
    "preprocess_us": "pixels into the values of the runtime's input",
    "invoke_us": "the runtime: input copied in, run, output copied out",
    "postprocess_us": "raw output into probabilities, digit and confidence",
    "first_us": "the first predict of a process",
    "load_ms": "reading and checking the file, creating the session",
    "import_ms": "importing numpy, Classifier and the runtime",
    "peak_rss_mb": "resident memory of the process, Python and numpy included",
}


def run(
    jobs: Sequence[tuple[Artifact, Runtime, int]], *, plan: Plan, show: Progress
) -> dict[str, Any]:
    """Measure each (file, runtime, threads) and return the JSON document.

    Raises:
        ModelError: not one of them could be measured.
    """
    before = machine.read_sensors()
    named = [Job(artifact, runtime, threads) for artifact, runtime, threads in jobs]
    groups = runner.measure(named, plan, show=show)
    document = _document(groups, plan, before)
    if not document["results"]:
        failed = document["failed"][0]
        raise ModelError(
            f"Expected to measure {failed['file']} on {failed['backend']}: {failed['error']}"
        )
    return document


def _document(groups: list[Group], plan: Plan, before: machine.SensorReading) -> dict[str, Any]:
    label = labels([track.job for group in groups for track in group.tracks])
    results = [
        {**_key(track.job), "label": label[track.job.artifact.path], **_result(track, group, plan)}
        for group in groups
        for track in group.tracks
        if not track.error
    ]
    for result, best in zip(results, pareto.pareto(results), strict=True):
        result["pareto"] = best
    where = environment()
    return {
        "schema": SCHEMA,
        "environment": where,
        "protocol": _protocol(plan, len(groups)),
        "evidence": {
            "before": before.document(),
            "groups": [
                {
                    "own_s": round(group.own_s, 3),
                    "wall_s": round(group.wall_s, 3),
                    "readings": [{"at_s": at, **r.document()} for at, r in group.readings],
                }
                for group in groups
            ],
        },
        "results": results,
        "failed": [
            {**_key(track.job), "label": label[track.job.artifact.path], "error": track.error}
            for group in groups
            for track in group.tracks
            if track.error
        ],
        "notes": pareto.slower_than_float(results, where["cpu_features"], where["machine"]),
    }


def _protocol(plan: Plan, groups: int) -> dict[str, Any]:
    return {
        "mode": plan.mode,
        "runs": plan.runs,
        "duration_s": plan.duration_s,
        "groups": groups,
        "intervals": "95 %, bootstrap of whole rounds",
        "includes": INCLUDES,
    }


def _key(job: Job) -> dict[str, Any]:
    return {
        "file": job.artifact.name,
        "folder": ""
        if job.artifact.path.parent == Path(SHIPPED)
        else str(job.artifact.path.parent),
        "backend": job.runtime.backend,
        "threads": job.threads,
        "batch": 1,
    }


def labels(jobs: Sequence[Job]) -> dict[Path, str]:
    """Return what each file is called: its name, and as much of its folders as tells it apart."""
    paths = {job.artifact.path: job.artifact.path.absolute().parts for job in jobs}
    longest = max(map(len, paths.values()))
    found = {path: path.name for path in paths}
    for count in range(2, longest + 1):
        names = list(found.values())
        for path, parts in paths.items():
            if names.count(found[path]) > 1:
                found[path] = "/".join(parts[-count:])
    return found


def _result(track: Track, group: Group, plan: Plan) -> dict[str, Any]:
    content = track.job.artifact.path.read_bytes()
    row = {
        "runtime": f"{track.job.runtime.distribution} {track.job.runtime.version}",
        "format": track.job.artifact.format,
        "precision": track.job.artifact.precision,
        "sha256": sha256(content),
        "size_bytes": len(content),
        **stated_accuracy(track.job.artifact),
        **track.loaded,
        "warm_up": {name: track.warm_up[name] for name in ("predictions", "seconds", "stable")},
        **{f"{name}_us": summary(rounds) for name, rounds in track.rounds.items()},
        "peak_rss_mb": track.peak_rss_mb,
        "group": track.group,
    }
    readings = [reading for _, reading in group.readings]
    row["tainted"] = quality_flags.of_row(row, track.rounds["predict"]) + quality_flags.of_machine(
        readings, own_s=group.own_s, wall_s=group.wall_s
    )
    count = runner.windows(len(track.starts_s), lasting=plan.duration_s is not None)
    row["windows"] = _windows(track, group.wall_s, count)
    row["samples_ns"] = track.rounds
    return row


def _windows(track: Track, wall_s: float, count: int) -> list[dict[str, Any]]:
    """Return the median of `predict` in every window of the time that was measured."""
    length = wall_s / count
    parts: dict[int, list[list[int]]] = {}
    for start, samples in zip(track.starts_s, track.rounds["predict"], strict=True):
        parts.setdefault(min(count - 1, int(start / length)), []).append(samples)
    return [
        {
            "start_s": round(index * length, 3),
            "n": sum(map(len, rounds)),
            "p50_us": round(median_ns(rounds) / 1000, 2),
        }
        for index, rounds in sorted(parts.items())
    ]


def stated_accuracy(artifact: Artifact) -> dict[str, Any]:
    """Return what the manifest beside a file states of it, with the data's name; None without.

    Nothing is evaluated here: `edge-mnist evaluate` is for that.
    """
    nothing = {"accuracy": None, "accuracy_data": None}
    if artifact.spec is None:
        return nothing
    try:
        manifest = read_bundle(artifact.path.parent).manifest
        entry = next(e for e in manifest["artifacts"] if e["file"] == artifact.name)
        accuracy, data = float(entry["accuracy"]), str(manifest["evaluation"]["data"])
    except (BundleError, KeyError, TypeError, ValueError, StopIteration):
        return nothing
    return {"accuracy": accuracy, "accuracy_data": data} if 0 <= accuracy <= 1 else nothing


def files(
    document: dict[str, Any], json_file: Path | None, csv_file: Path | None, html_file: Path | None
) -> Iterator[tuple[Path, str]]:
    """Yield the files that are asked for, each with its content."""
    if json_file:
        yield json_file, as_json(document)
    if csv_file:
        from .csv_report import as_csv

        yield csv_file, as_csv(document)
    if html_file:
        from .html_report import as_html

        yield html_file, as_html(document)


def as_json(document: dict[str, Any]) -> str:
    """Return the document indented, but for the samples: a line a stage."""
    lines: dict[str, str] = {}

    def mark(samples: Any) -> str:
        lines[f"samples {len(lines)}"] = json.dumps(samples, separators=(",", ":"))
        return f"samples {len(lines) - 1}"

    results = [
        {**row, "samples_ns": {name: mark(rounds) for name, rounds in row["samples_ns"].items()}}
        for row in document["results"]
    ]
    text = json.dumps({**document, "results": results}, indent=1, allow_nan=False) + "\n"
    return re.sub(r'(": )"(samples \d+)"', lambda found: found[1] + lines[found[2]], text)


def text(document: dict[str, Any]) -> str:
    """Return the document for a terminal: where it was measured, a row a result, what to know."""
    where, results = document["environment"], document["results"]
    data = sorted({row["accuracy_data"] for row in results if row["accuracy_data"]})
    lines = [
        f"{where['cpu']}, {where['cpus']} CPUs, {where['machine']}, Python {where['python']}, "
        f"numpy {where['numpy']}{_features(where)}",
        "; ".join(f"{name} {value}" for name, value in conditions(document).items() if value),
        "",
        "One image at a time. p50 to p99.9, ± half the 95 % interval of p50: predict, pixels in, "
        "Prediction out.",
        "pre+invoke+post, timed apart: pixels to the runtime's input; copied in, run, copied out; "
        "raw output to Prediction.",
        *([f"Accuracy: on {', '.join(data)}, as the manifest states."] if data else []),
        "",
        table(HEADER, [cells(row) for row in results]),
        "",
        f"* Pareto-best: no other row is better in one of {pareto.OVER} and as good in the rest."
        + (" ! Tainted: in doubt." if any(row["tainted"] for row in results) else ""),
    ]
    return "\n".join([*lines, *remarks(document), *_sustained(document)])


def _sustained(document: dict[str, Any]) -> list[str]:
    """Return a table of the windows' medians a group, where a duration was asked for."""
    if document["protocol"]["duration_s"] is None:
        return []
    numbered = [f"{index + 1}: {row_name(row)}" for index, row in enumerate(document["results"])]
    lines = ["", "Median of predict in every window, µs:", "; ".join(numbered)]
    for number, group in enumerate(document["evidence"]["groups"]):
        rows = {
            str(index + 1): row
            for index, row in enumerate(document["results"])
            if row["group"] == number
        }
        if rows:
            lines += ["", _windows_table(rows, group["readings"])]
    return lines


def _windows_table(rows: dict[str, dict[str, Any]], readings: list[dict[str, Any]]) -> str:
    medians = [
        {w["start_s"]: f"{w['p50_us']:.1f}" for w in row["windows"]} for row in rows.values()
    ]
    starts = sorted({start for row in medians for start in row})
    sensors = [
        (unit, field)
        for unit, field in (("MHz", "frequency_mhz"), ("°C", "temperature_c"))
        if readings[0][field] is not None
    ]
    lines = []
    for start in starts:
        after = next((r for r in readings if r["at_s"] > start), readings[-1])
        told = [NONE if after[field] is None else f"{after[field]:.0f}" for _, field in sensors]
        lines.append([f"{start:.0f} s", *(row.get(start, NONE) for row in medians), *told])
    return table(("from", *rows, *(unit for unit, _ in sensors)), lines)


def conditions(document: dict[str, Any]) -> dict[str, str | None]:
    """Return what the machine was like before the measurement and after it; None if not told."""
    where, evidence = document["environment"], document["evidence"]
    before, after = evidence["before"], evidence["groups"][-1]["readings"][-1]
    granted = (("cpus", "CPUs"), ("memory_mb", "MB"))
    limits = [
        f"{where['cgroup'][field]:g} {unit}"
        for field, unit in granted
        if where["cgroup"][field] is not None
    ]
    found: dict[str, str | None] = {"governor": where["governor"]}
    for name, field, unit in (
        ("frequency", "frequency_mhz", " MHz"),
        ("temperature", "temperature_c", " °C"),
        ("load average", "load_average", ""),
    ):
        told = before[field] is not None and after[field] is not None
        found[name] = f"{before[field]:.4g} → {after[field]:.4g}{unit}" if told else None
    throttled = after["throttled"]
    found["throttled"] = None if throttled is None else ", ".join(throttled) or "no"
    return found | {"control group": ", ".join(limits) or "no limits"}


def _features(where: dict[str, Any]) -> str:
    features = where["cpu_features"]
    return f", {' '.join(features)}" if features else ""


def remarks(document: dict[str, Any]) -> list[str]:
    """Return lines on what is slower than it should be, tainted, failed or left unsaid."""
    lines = list(document["notes"])
    groups = document["protocol"]["groups"]
    if groups > 1:
        lines.append(
            f"Measured in {groups} groups, for want of memory: rows of different groups took no "
            f"turns with each other."
        )
    lines += [f"Failed: {row_name(row)}: {row['error']}" for row in document["failed"]]
    lines += [f"Tainted: {name}: {reasons}" for name, reasons in _tainted(document["results"])]
    return lines


def _tainted(results: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (rows, reasons); what taints every row is said once."""
    common = [
        reason for reason in results[0]["tainted"] if all(reason in r["tainted"] for r in results)
    ]
    found = [("all rows", "; ".join(common))] if common and len(results) > 1 else []
    for row in results:
        own = [reason for reason in row["tainted"] if not found or reason not in common]
        if own:
            found.append((row_name(row), "; ".join(own)))
    return found


def row_name(row: dict[str, Any]) -> str:
    """Return what a row is called outside of the table."""
    many = f", {row['threads']} threads" if row["threads"] > 1 else ""
    return f"{row['label']} on {row['backend']}{many}"


HEADER = (
    *("", "file", "backend", "thr", "p50 µs", "±", "p90", "p99", "p99.9", "pre+invoke+post"),
    *("accuracy", "kB", "first µs", "load ms", "import ms", "peak MB"),
)


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row as the table shows it."""
    predict, peak = row["predict_us"], row["peak_rss_mb"]
    half = half_width(predict, "p50")
    stages = (row["preprocess_us"], row["invoke_us"], row["postprocess_us"])
    return [
        ("*" if row["pareto"] else "") + ("!" if row["tainted"] else ""),
        row["label"],
        row["backend"],
        str(row["threads"]),
        *(latency(predict, "p50"), NONE if half is None else rounded(half, half)),
        *(latency(predict, name) for name in ("p90", "p99", "p999")),
        "+".join(latency(stage, "p50") for stage in stages),
        NONE if row["accuracy"] is None else percent(row["accuracy"]),
        f"{row['size_bytes'] / 1000:.0f}",
        rounded(row["first_us"], None),
        rounded(row["load_ms"], None),
        rounded(row["import_ms"], None),
        NONE if peak is None else f"{peak:.0f}",
    ]


def latency(summary: dict[str, Any], name: str) -> str:
    """Return a percentile in microseconds, with the digits that its interval allows."""
    if summary[name] is None:
        return NONE
    return rounded(summary[name], half_width(summary, name))


def half_width(summary: dict[str, Any], name: str) -> float | None:
    """Return half the width of a percentile's interval, None where there is none."""
    interval = (summary["ci95"] or {}).get(name)
    return None if interval is None else (interval[1] - interval[0]) / 2
