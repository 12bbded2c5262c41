"""Compare edge-mnist with the tools that a user would otherwise pick: one machine, in turn.

    .uv/bin/uv run python benchmarks/run.py

benchmarks/README.md describes the protocol. Results go to benchmarks/results.json, the table to
docs/comparison.md, the plot to docs/benchmark.svg.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from contenders import CONTENDERS, Contender
from prepare import ROOT, WORK, convert_mnn, convert_ncnn, environments, installed_mb, models
from show import draw, table, write_between

from edge_mnist import datasets
from edge_mnist.backends.environment import environment
from edge_mnist.benchmark.statistics import summary
from edge_mnist.errors import EdgeMnistError
from edge_mnist.system.files import write_atomically

PROGRAM = Path(__file__).with_name("contender.py")
RESULTS = Path(__file__).with_name("results.json")
BATCHES = (1, 4, 16, 64, 256)
# Test images that every contender classifies first, and the accuracy below which it is excluded.
CHECKED = 500
LEAST_ACCURACY = 0.95


@dataclass
class Row:
    """The measurements of one contender with one file and a number of threads."""

    contender: Contender
    precision: str
    threads: int
    accuracy: float = 0.0
    rounds: list[list[int]] = field(default_factory=list)
    peak_mb: float | None = None
    batches: dict[int, float] = field(default_factory=dict)
    cold_ms: list[float] = field(default_factory=list)
    error: str | None = None

    @property
    def name(self) -> str:
        return f"{self.contender.name} {self.precision}, {self.threads} threads"

    @property
    def median_us(self) -> float:
        return statistics.median(sample for part in self.rounds for sample in part) / 1000

    def document(self, installed: float, sha256: str) -> dict[str, Any]:
        """Return the row for JSON; `installed` in MB."""
        return {
            "contender": self.contender.name,
            "arch": self.contender.arch,
            "packages": self.contender.packages,
            "precision": self.precision,
            "sha256": sha256,
            "threads": self.threads,
            "error": self.error,
            "accuracy": self.accuracy,
            "predict_us": summary(self.rounds) if self.rounds else None,
            "images_per_second": {str(size): round(rate) for size, rate in self.batches.items()},
            "cold_ms": round(statistics.median(self.cold_ms), 1) if self.cold_ms else None,
            "peak_rss_mb": self.peak_mb,
            "installed_mb": round(installed, 1),
        }


class Worker:
    """A contender's process."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=clean_environment(),
        )  # fmt: skip
        self.answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer. Raises EdgeMnistError if the process died."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EdgeMnistError(f"its process ended with status {self._process.wait()}")
        return dict(json.loads(line))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def clean_environment() -> dict[str, str]:
    """Return environment variables with which a contender imports its own packages only."""
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "TF_CPP_MIN_LOG_LEVEL": "3"}


class Workers:
    """The processes of all rows of one thread count, which take turns."""

    def __init__(self, rows: Sequence[Row], command: Callable[[Row], list[str]]) -> None:
        self.rows, self._command = rows, command
        self._workers: dict[int, Worker] = {}

    @contextmanager
    def started(self) -> Iterator[Workers]:
        try:
            for row in self.rows:
                with keeping_error(row):
                    self._workers[id(row)] = Worker(self._command(row))
            yield self
        finally:
            for worker in self._workers.values():
                worker.close()

    def each(self, **request: Any) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Send a request to every row without error, in random order; yield the answers."""
        for row in random.sample(self.rows, len(self.rows)):
            if row.error is None:
                with keeping_error(row):
                    yield row, self._workers[id(row)].ask(**request)


@contextmanager
def keeping_error(row: Row) -> Iterator[None]:
    try:
        yield
    except (EdgeMnistError, OSError) as error:
        row.error = str(error)


def measure(rows: Sequence[Row], command: Callable[[Row], list[str]], plan: Plan) -> None:
    """Measure rows: accuracy first, then single images in rounds, then batches."""
    labels = np.load(WORK / "labels.npy")[:CHECKED]
    with Workers(rows, command).started() as running:
        for row, answer in running.each(read=CHECKED):
            row.accuracy = float(np.mean(answer["digits"] == labels))
            if row.accuracy < LEAST_ACCURACY:
                row.error = f"reads {row.accuracy:.1%} of {CHECKED} images"
        for number in range(plan.rounds + 1):
            for row, answer in running.each(batch=1, seconds=plan.turn_s):
                if number:  # the first round warms up
                    row.rounds.append(answer["ns"])
                    row.peak_mb = answer["peak_mb"]
            plan.say(f"round {number} of {plan.rounds}")
        for size in plan.batches:
            for number in range(4):
                for row, answer in running.each(batch=size, seconds=plan.turn_s):
                    rate = size * 1e9 / statistics.median(answer["ns"])
                    if number:
                        row.batches[size] = max(rate, row.batches.get(size, 0.0))
            plan.say(f"batches of {size}")


@dataclass(frozen=True)
class Plan:
    """How long to measure; `say` prints progress."""

    rounds: int
    turn_s: float
    batches: tuple[int, ...]
    say: Callable[[str], None]


def best(rows: Sequence[Row]) -> list[Row]:
    """Return each contender's fastest row, in the order of the contenders."""
    chosen: dict[str, Row] = {}
    for row in rows:
        if row.rounds and not row.error:
            name = row.contender.name
            if name not in chosen or row.median_us < chosen[name].median_us:
                chosen[name] = row
    return list(chosen.values())


def from_cold(rows: Sequence[Row], command: Callable[[Row], list[str]], times: int) -> None:
    """Time whole processes that classify one image, in turn; the first of each is a warm-up."""
    for number in range(times + 1):
        for row in random.sample(rows, len(rows)):
            start = time.perf_counter()
            subprocess.run(
                [*command(row), "--once"],
                check=True,
                capture_output=True,
                env=clean_environment(),
            )
            if number:
                row.cold_ms.append((time.perf_counter() - start) * 1000)


@click.command()
@click.option("--run", type=click.Path(path_type=Path), help="A run of seed.  [default: newest]")
@click.option("--data", default="auto", show_default=True, help="As for edge-mnist train.")
@click.option("--only", help="Contenders with this in their name.")
@click.option("--rounds", type=click.IntRange(2), default=25, show_default=True)
@click.option("--keep/--no-keep", default=True, help="Write the table and the plot into docs/.")
def main(run: Path | None, data: str, only: str | None, rounds: int, keep: bool) -> None:
    """Measure every contender, and write the table and the plot."""
    say = lambda line: click.echo(line, err=True)  # noqa: E731
    contenders = [c for c in CONTENDERS if not only or only.lower() in c.name.lower()]
    if not contenders:
        raise EdgeMnistError(f"Expected --only to be in a contender's name, got {only!r}.")
    source = datasets.find(data)
    test = datasets.load(source, "test")
    pythons = environments(contenders, say)
    folder = models(run, data, say)
    for contender in contenders:
        if contender.tool == "mnn":
            convert_mnn(folder, pythons[contender.environment], say)
        elif contender.tool == "ncnn":
            convert_ncnn(folder, say)
    np.save(WORK / "images.npy", test.images[:2000])
    np.save(WORK / "labels.npy", test.labels[:2000])

    def command(row: Row) -> list[str]:
        python, file = pythons[row.contender.environment], row.contender.files[row.precision]
        images = str(WORK / "images.npy")
        head = [str(python), str(PROGRAM), row.contender.tool]
        return [*head, str(folder / file), str(row.threads), images]

    def rows(threads: int) -> list[Row]:
        return [Row(c, precision, threads) for c in contenders for precision in c.files]

    plan = Plan(rounds, 0.04, BATCHES, say)
    before = environment()
    single, every = rows(1), rows(int(before["cpus"]))
    measure(single, command, plan)
    measure(every, command, Plan(rounds, 0.04, (), say))
    fastest = best(single)
    say("From cold")
    from_cold(fastest, command, 7)
    sizes = {name: installed_mb(python) for name, python in pythons.items()}
    hashes = file_hashes(folder)
    document = {
        "schema": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": test.name,
        "environment": before,
        "rows": [
            row.document(
                sizes[row.contender.environment], hashes[row.contender.files[row.precision]]
            )
            for row in (*single, *every)
        ],
    }
    write_atomically(RESULTS, json.dumps(document, indent=1) + "\n")
    text = table(document)
    click.echo(text)
    for row in (*single, *every):
        if row.error:
            say(f"{row.name}: {row.error}")
    if keep:
        write_between(ROOT / "docs" / "comparison.md", "benchmarks", text)
        draw(document, ROOT / "docs" / "benchmark.svg")


def file_hashes(folder: Path) -> dict[str, str]:
    import hashlib

    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except EdgeMnistError as error:
        sys.exit(f"error: {error}")
    except click.ClickException as error:
        error.show()
        sys.exit(2)
