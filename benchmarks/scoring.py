"""Images a second and memory of `edge-mnist score`, beside `predict_batch` in one process.

    python benchmarks/scoring.py --images 1000000 --rounds 3

MNIST's test set is repeated to that many images, in one .npy file. Each round runs every row once,
so that the rows share what disturbs the machine; the table has medians over the rounds.

    whole          images a second of the whole command, with the start of Python, Ray and workers
    working        images a second while the workers work: their number, times images, divided by
                   the seconds in which they scored shards, added up
    per CPU s      images a processor second of the workers while they score
    workers        processor seconds of the workers, with their start
    others         processor seconds of all other processes of the command, such as Ray's
    memory         proportional set size in MB, sampled every half second: the median of the first
                   third and of the last third of the samples of all processes together, and the
                   most of one worker
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge_mnist import datasets
from edge_mnist.system.text_table import table

_SAMPLE_S = 0.5
_TICKS = 100  # of a second, in /proc/PID/stat
_ONE_PROCESS = """
import json, sys, time
import numpy as np
from edge_mnist import Classifier
count, start = len(np.load(sys.argv[1], mmap_mode="r")), time.perf_counter()
classifier, working, used = Classifier(), time.perf_counter(), time.process_time()
for first in range(0, count, 1000):
    pixels = np.fromfile(sys.argv[1], np.uint8, 784_000, offset=128 + 784 * first)
    classifier.predict_batch(pixels.reshape(-1, 28, 28))
end = time.perf_counter()
print(json.dumps({"seconds": end - start, "worker_seconds": end - working,
                  "processor_seconds": time.process_time() - used}))
"""
_SHIPPED = """
import json, sys, time
import numpy as np
import ray
from edge_mnist import Classifier
from edge_mnist.system import ray_cluster

class Predict:
    def __init__(self):
        self.classifier = Classifier()
    def __call__(self, batch):
        return {"digit": self.classifier.predict_batch(batch["data"])}

start = time.perf_counter()
with ray_cluster.session(None, cpus=2):
    import ray.data
    ray.data.DataContext.get_current().enable_progress_bars = False
    images = ray.data.from_numpy(np.split(np.load(sys.argv[1], mmap_mode="r"), 50))
    scored = images.map_batches(Predict, batch_size=1000,
                                compute=ray.data.ActorPoolStrategy(size=2), num_cpus=1)
    rows = sum(len(batch["digit"]) for batch in scored.iter_batches(batch_size=None))
print(json.dumps({"seconds": time.perf_counter() - start}))
"""
_ROWS = {
    "predict_batch, 1 process": ("-c", _ONE_PROCESS),
    "score, 1 local process": ("local", 1),
    "score, 2 local processes": ("local", 2),
    "score, 2 actors of Ray": ("ray", 2),
    "arrays sent to 2 actors of Ray": ("-c", _SHIPPED),
}


@click.command()
@click.option("--images", default=1_000_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--row", "rows", multiple=True, help="Only rows whose name has this text.")
def main(images: int, rounds: int, rows: tuple[str, ...]) -> None:
    """Print the table, and before it each measurement, with about 20 samples of its memory."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "images.npy")
        digits = datasets.load(datasets.find("mnist", splits=("test",)), "test").images
        np.save(source, np.resize(digits.reshape(-1, 28, 28), (images, 28, 28)))
        names = [n for n in _ROWS if not rows or any(text in n for text in rows)]
        done = {name: [] for name in names}
        for number in range(rounds):
            for name in names:
                done[name].append(measure(name, source, Path(folder, f"{name} {number}"), images))
                click.echo(json.dumps({"row": name, **done[name][-1]}))
    header = ("", "whole", "working", "per CPU s", "workers", "others", "first", "last", "most")
    click.echo(table(header, [_line(name, one) for name, one in done.items()]))


def _line(name: str, rounds: list[dict[str, Any]]) -> list[str]:
    keys = ("whole", "working", "per_cpu_s", "workers_s", "others_s")
    keys = (*keys, "first_mb", "last_mb", "worker_mb")
    return [name, *(f"{statistics.median(one[key] for one in rounds):,.0f}" for key in keys)]


def measure(name: str, source: Path, output: Path, images: int) -> dict[str, Any]:
    """Run one row; return its figures."""
    first, second = _ROWS[name]
    if first == "-c":
        command, workers = [sys.executable, "-c", second, source], 1
    else:
        score = Path(sys.executable).with_name("edge-mnist")
        options = ["--engine", first, "--actors", str(second), "--json", "-q"]
        command, workers = [score, "score", source, output, *options], second
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    samples = list(_samples(process))
    seconds = time.perf_counter() - start
    assert process.stdout is not None
    report = json.loads(process.stdout.read())
    # The processor time of a process that has ended is that of its last sample.
    cpu = {pid: (kind, s) for one in samples for pid, kind, s, _ in one}
    of_workers = sum(s for kind, s in cpu.values() if kind == "worker")
    totals = [sum(mb for *_, mb in one) for one in samples]
    third = max(1, len(totals) // 3)
    return {
        "whole": images / seconds,
        "working": workers * images / report.get("worker_seconds", report["seconds"]),
        "per_cpu_s": images / report.get("processor_seconds", max(of_workers, 0.01)),
        "workers_s": of_workers,
        "others_s": sum(s for kind, s in cpu.values() if kind != "worker"),
        "first_mb": statistics.median(totals[:third]),
        "last_mb": statistics.median(totals[-third:]),
        "samples_mb": [round(mb) for mb in totals[:: len(totals) // 20 + 1]],
        "worker_mb": max(mb for one in samples for _, kind, _, mb in one if kind == "worker"),
    }


def _samples(process: subprocess.Popen[bytes]) -> Iterator[list[tuple[int, str, float, float]]]:
    """Yield id, kind, processor seconds and MB of the command's processes until it ends."""
    while process.poll() is None:
        yield list(_tree(process.pid))
        time.sleep(_SAMPLE_S)


def _tree(root: int) -> Iterator[tuple[int, str, float, float]]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:13])) / _TICKS
    family = {root}
    while more := {pid for pid, (parent, _) in parents.items() if parent in family} - family:
        family |= more
    for pid in family & parents.keys():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            memory = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        mb = int(memory.partition("\nPss:")[2].split()[0]) / 1024 if "\nPss:" in memory else 0
        yield pid, _kind(line, alone=len(family) == 1), parents[pid][1], mb


def _kind(line: str, *, alone: bool) -> str:
    names = {"MapWorker": "worker", "spawn_main": "worker", "ray::": "ray", "raylet": "raylet"}
    known = next((kind for text, kind in names.items() if text in line), "driver")
    return "worker" if alone and known == "driver" else known


if __name__ == "__main__":
    main()
