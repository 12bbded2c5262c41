"""`edge-mnist quickstart`: train, export, evaluate and benchmark one small model."""

from __future__ import annotations

import math
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_mnist.system.progress import Progress

from .. import api
from ..runs import Run
from .options import PATH, quiet_option

if TYPE_CHECKING:
    from edge_mnist.bundle import Artifact


_PICTURES = Path("examples/digits")
_DATA_HELP = "auto, mnist, synthetic (drawn by edge-mnist), or the path of MNIST."


@click.command(
    short_help="The whole chain once, small.",
    epilog="\b\nExample:\n  edge-mnist quickstart --epochs 1",
)
@click.option("--data", default="auto", show_default=True, help=_DATA_HELP)
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True)
@click.option("--out", type=PATH, help="The run folder.  [default: runs/edge-TIME]")
@quiet_option
def quickstart(data: str, epochs: int, out: Path | None, quiet: bool) -> None:
    """The whole chain once, small: train, export int8, evaluate, benchmark, next steps.

    First the model that ships with the package reads examples/digits, if that folder is here.
    """
    progress = Progress(quiet=quiet)
    if _PICTURES.is_dir():
        _predict()
    headers = _Headers(epochs)
    headers.show("train")
    run = api.train("edge", recipe="plain", data=data, epochs=epochs, out=out, quiet=quiet)
    click.echo(run.summary)
    headers.show("export")
    tables: list[str] = []
    bundle = api.export(run, int8=True, quiet=quiet, show=tables.append)
    click.echo(f"Wrote {bundle.folder}")
    headers.show("evaluate")
    click.echo(_evaluate(bundle.artifacts, run.data))
    headers.show("benchmark")
    _benchmark(bundle.artifacts, progress)
    click.echo(_next_steps(run, Path(bundle.folder), tables[0]))


class _Headers:
    """The steps' headers, with the time left: what was measured here, and the share of each step.

    The shares are the seconds of each step on two cores of an AMD EPYC.
    """

    def __init__(self, epochs: int) -> None:
        self._seconds = {"train": 5 + 5 * epochs, "export": 14, "evaluate": 5, "benchmark": 6}
        self._start = time.monotonic()

    def show(self, step: str) -> None:
        """Print the header of a step that begins."""
        steps = list(self._seconds)
        number = steps.index(step)
        done, left = (
            sum(self._seconds[name] for name in part) for part in (steps[:number], steps[number:])
        )
        header = f"{number + 1}/{len(steps)} {step}"
        if done:
            seconds = (time.monotonic() - self._start) * left / done
            header += f" (about {5 * math.ceil(seconds / 5)} s left)"
        click.echo(f"\n{header}\n")


def _predict() -> None:
    """Read the example digits with the shipped model."""
    from edge_mnist.classifier import Classifier

    classifier = Classifier()
    pictures = sorted(_PICTURES.glob("*.png"))
    answers = (classifier.predict(picture).label or "?" for picture in pictures)
    click.echo(
        f"The shipped model edge reads {_PICTURES}: {' '.join(answers)}\n"
        f"Next, a model of your own, in four steps."
    )


def _evaluate(artifacts: tuple[Artifact, ...], data: str) -> str:
    """Return accuracy and confusion of every file in every runtime."""
    from edge_mnist import datasets
    from edge_mnist.backends.selection import choose, pairs
    from edge_mnist.evaluation import evaluate
    from edge_mnist.evaluation.output_bytes import compare_outputs
    from edge_mnist.evaluation.text_report import evaluation_text

    split = datasets.load(datasets.find(data, splits=("test",)), "test")
    results = {pair: evaluate(*pair, split) for pair in pairs(artifacts, None)}
    shown, every = results[choose(artifacts)], list(results.values())
    outputs = compare_outputs(every, artifacts, split)
    return evaluation_text(split.name, every, shown=shown, outputs=outputs)


def _benchmark(artifacts: tuple[Artifact, ...], progress: Progress) -> None:
    """Measure every file in every runtime, on one thread, and print the report.

    Raises:
        GateError: a measurement failed.
    """
    from edge_mnist.backends.selection import pairs
    from edge_mnist.benchmark import suite
    from edge_mnist.benchmark.plan import make_plan
    from edge_mnist.benchmark.text_report import as_text

    jobs = [(artifact, runtime, 1) for artifact, runtime in pairs(artifacts, None)]
    with progress.bar("Measuring") as show:
        document = suite.run(jobs, plan=make_plan(quick=True, rows=len(jobs)), show=show)
    click.echo(as_text(document))
    suite.check_failures(document)


def _next_steps(run: Run, bundle: Path, table: str) -> str:
    created = (path for path in (*run.path.iterdir(), *bundle.iterdir()) if path.is_file())
    files = "\n".join(f"  {path}" for path in sorted(created))
    command = f"{_uv_run()}edge-mnist"
    return f"""
Made with {run.record["data"]["train"]["name"]}:
{files}

{table}

Next:
  {command} predict {_PICTURES if _PICTURES.is_dir() else "PICTURE.png"} --model {bundle}
  {command} train
  {command} export --int8"""


def _uv_run() -> str:
    """Return what precedes `edge-mnist` in the user's shell: nothing, or a command of uv."""
    if "UV_RUN_RECURSION_DEPTH" not in os.environ:
        return ""
    uv = "uv" if shutil.which("uv") else os.path.relpath(os.environ["UV"])
    return f"{uv} run "
