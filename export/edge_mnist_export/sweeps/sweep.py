"""A space file in; a folder with a run for each trial, one table and one plot out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_mnist import backends, datasets
from edge_mnist.errors import GateError, ModelError, OutputError
from edge_mnist.system.files import new_folder, write_atomically
from edge_mnist.system.info import cpu_model
from edge_mnist.system.progress import Progress
from edge_mnist.system.strict_json import to_json
from edge_mnist.system.temporary import clear_abandoned, locked

from .. import arguments, frameworks
from ..training.run_options import RunOptions, TrainingPlan, plan
from . import engine, plot, results
from . import space as spaces
from .results import Row
from .space import Space
from .worker import RESULT, Job

_SPACE = "space.json"
_SCHEMA = 1
Show = Callable[[str], None]


def sweep(
    file: Path,
    out: Path,
    *,
    address: str | None,
    at_once: int | None,
    progress: Progress,
    show: Show,
) -> list[Row]:
    """Train every trial of a space, or those that are left, and compare them.

    Validation images decide which trials are on the Pareto fronts. Only then the test set is read,
    for these trials alone.

    Args:
        file: the space file.
        out: the folder of the sweep; new, empty, or one of this space.
        address: of a Ray cluster, whose machines all see `out` and the data; None for this machine.
        at_once: the number of trials at once; None for one on each processor.
        progress: takes lines of progress and shows a bar.
        show: takes the table of trials.

    Raises:
        GateError: trials failed. The table names the reasons; the others are done.
        ModelError, DataError: the space file or an option in it is wrong.
        OutputError: `out` holds something else, or another sweep writes to it.
        ClusterError: there is no Ray, or no cluster at the address.
    """
    space = spaces.read(file)
    plans = _plans(space, progress)
    with _claimed(out, space, plans):
        cpus = engine.cpus_per_trial(at_once, local=address is None)
        errors = {}
        if jobs := _jobs(out, space, plans, cpus=cpus):
            errors = engine.run(
                jobs, space.asha, address=address, at_once=at_once, progress=progress
            )
        rows = _measure(out, space, plans, errors, progress)
        show(results.text(rows))
    if errors:
        raise GateError(
            f"Expected every trial to finish, got {len(errors)} of {len(rows)} that failed; the "
            f"reasons stand below the table, and the same command tries them again.",
            code="gate-sweep",
        )
    return rows


def _plans(space: Space, progress: Progress) -> dict[str, TrainingPlan]:
    """Check the options of every trial as `train` does, and decide what they leave open."""
    backend = frameworks.keras_backend()
    if backend != "tensorflow":
        raise ModelError(
            f"Expected KERAS_BACKEND=tensorflow for a sweep, which also converts, got {backend}; "
            f"unset it.",
            code="model-sweep-backend",
        )
    progress.line(f"Checking the options of all trials: {len(space.trials)}")
    quiet = Progress(quiet=True)
    plans = {}
    for trial in space.trials:
        options = {name: value for name, value in trial.options.items() if value is not None}
        if not isinstance(options.get("data", ""), str):
            raise arguments.error("data", "a name or a path", options["data"])
        plans[trial.name] = plan(RunOptions(**options), quiet, test=False)
    return plans


@contextlib.contextmanager
def _claimed(out: Path, space: Space, plans: Mapping[str, TrainingPlan]) -> Iterator[None]:
    """Make the folder of a sweep unless it is there, and lock it."""
    document = {
        "schema": _SCHEMA,
        "asha": asdict(space.asha) if space.asha else None,
        "trials": {name: asdict(plan.recipe) for name, plan in plans.items()},
    }
    text = json.dumps(document, indent=1) + "\n"
    if not (out / _SPACE).is_file():
        with new_folder(out) as new:
            write_atomically(new / _SPACE, text)
    if (out / _SPACE).read_text("utf-8") != text:
        raise OutputError(
            f"Expected the sweep of this space in {out}, got that of another one; choose another "
            f"folder with --out.",
            code="output-sweep-space",
        )
    with locked(out) as held:
        if held is False:
            raise OutputError(
                f"Expected to sweep in {out}, got a folder to which another sweep writes; wait for "
                f"it, or choose another folder with --out.",
                code="output-sweep-locked",
            )
        clear_abandoned(out)
        yield


def _jobs(
    out: Path, space: Space, plans: Mapping[str, TrainingPlan], *, cpus: int
) -> dict[str, Job]:
    """Return the jobs that are left; none of them if every trial is done.

    With a scheduler these are all jobs: it compares the epochs of those that are done with others.
    """
    jobs = {
        trial.name: Job(
            folder=str((out / trial.name).absolute()),
            options=_on_any_machine(trial.options, plans[trial.name]),
            recipe=asdict(plans[trial.name].recipe),
            cpus=cpus,
        )
        for trial in space.trials
    }
    left = {name: job for name, job in jobs.items() if not (out / name / RESULT).is_file()}
    return jobs if left and space.asha else left


def _on_any_machine(options: Mapping[str, Any], plan: TrainingPlan) -> dict[str, Any]:
    """Return the options of a trial with the data that was found, and with absolute paths."""
    source, teacher = plan.source, options.get("teacher")
    changed = {"data": str(source.path.absolute()) if source.path else source.kind}
    if teacher is not None and Path(teacher).exists():
        changed["teacher"] = str(Path(teacher).absolute())
    return {name: value for name, value in options.items() if value is not None} | changed


def _measure(
    out: Path,
    space: Space,
    plans: Mapping[str, TrainingPlan],
    errors: Mapping[str, str],
    progress: Progress,
) -> list[Row]:
    """Compare the trials, then read the test set for those on the Pareto fronts."""
    epochs = {name: plan.recipe.epochs for name, plan in plans.items()}
    progress.line("Measuring the latency of the int8 files")
    rows = results.collect(out, space, epochs, errors)
    first = next(iter(plans.values()))
    _write(out, rows, first)
    best = [row.trial for row in rows if row.fronts]
    if best:
        data = str(space.trials[0].options.get("data", "auto"))
        source = datasets.find(data, splits=("test",), own=True)
        test = datasets.load(source, "test", shape=first.recipe.shape)
        progress.line(
            f"Test set, read only now: {test.name}, for {len(best)} of {len(rows)} trials"
        )
        rows = results.with_test(rows, test)
        _write(out, rows, first, test=test.name)
    return rows


def _write(out: Path, rows: Sequence[Row], plan: TrainingPlan, test: str | None = None) -> None:
    """Write sweep.json, sweep.csv and sweep.svg."""
    runtime = backends.installed("tflite")[0]
    document = {
        "schema": _SCHEMA,
        "data": plan.source.kind,
        "test_data": test,
        "latency": {
            "runtime": f"{runtime.distribution} {runtime.version}",
            "threads": 1,
            "machine": cpu_model(),
        },
        "trials": [row.to_dict() for row in rows],
    }
    write_atomically(out / "sweep.json", to_json(document) + "\n")
    write_atomically(out / "sweep.csv", results.as_csv(rows))
    if any(row.fronts for row in rows):
        write_atomically(out / "sweep.svg", plot.draw(rows, plan.source.kind))
