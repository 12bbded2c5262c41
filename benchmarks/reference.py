"""Measure the shipped bundle; compare with this board's reference file, or save it as that.

.uv/bin/uv run python benchmarks/reference.py [--save]
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from edge_mnist.benchmark.statistics import format_rounded
from edge_mnist.system.files import write_atomically

FOLDER = Path(__file__).with_name("reference")
_KEPT = ("file", "sha256", "backend", "runtime", "threads", "batch", "accuracy", "size_bytes")
_MEASURED = ("import_ms", "load_ms", "first_us", "predict_us", "peak_rss_mb", "tainted")
_ENVIRONMENT = ("date", "edge_mnist", "python", "numpy", "system", "cpu", "cpu_features", "cpus")


def path_for(environment: dict[str, Any]) -> Path:
    """Return a board's reference file, named after the board and its usable processors."""
    name = re.sub(r"\([^)]*\)|[^a-z0-9]+", "-", environment["cpu"].lower())
    name = re.sub("-+", "-", name).strip("-")
    return FOLDER / f"{name}-{environment['cpus']}.json"


def reference(document: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a benchmark document that is kept: figures without samples."""
    return {
        "schema": 1,
        "environment": {name: document["environment"][name] for name in _ENVIRONMENT},
        "results": [
            {name: row[name] for name in (*_KEPT, *_MEASURED)} for row in document["results"]
        ],
    }


def comparison(now: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    """Return a line per row: the median now and in the reference, and their ratio."""
    then = {(row["file"], row["backend"], row["threads"]): row for row in kept["results"]}
    lines = []
    for row in now["results"]:
        name = f"{row['file']} on {row['backend']}, {row['threads']} threads"
        other = then.get((row["file"], row["backend"], row["threads"]))
        if other is None:
            lines.append(f"{name}: {_median(row)}; no reference")
            continue
        ratio = row["predict_us"]["p50"] / other["predict_us"]["p50"]
        changed = "" if row["sha256"] == other["sha256"] else "; another model"
        lines.append(f"{name}: {_median(row)}, {_median(other)} then, ratio {ratio:.2f}{changed}")
    return lines


def _median(row: dict[str, Any]) -> str:
    low, high = row["predict_us"]["ci95"]["p50"]
    half = (high - low) / 2
    return f"{format_rounded(row['predict_us']['p50'], half)} ± {half:.2g} µs"


@click.command()
@click.option("--save", is_flag=True, help="Save the result as this board's reference file.")
def main(save: bool) -> None:
    """Measure the shipped bundle and compare it with this board's reference file, or save it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "now.json"
        command = Path(sys.executable).with_name("edge-mnist")
        done = subprocess.run([command, "benchmark", "--json", file], cwd=folder, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        now = reference(json.loads(file.read_text(encoding="utf-8")))
    path = path_for(now["environment"])
    if save:
        FOLDER.mkdir(exist_ok=True)
        write_atomically(path, json.dumps(now, indent=1) + "\n")
        click.echo(f"\nWrote {path}")
    elif not path.exists():
        click.echo(f"\nno reference for {now['environment']['cpu']}; keep this one with --save")
    else:
        kept = json.loads(path.read_text(encoding="utf-8"))
        click.echo(f"\nBeside {path.name} of {kept['environment']['date'][:10]}:")
        click.echo("\n".join(comparison(now, kept)))


if __name__ == "__main__":
    main()
