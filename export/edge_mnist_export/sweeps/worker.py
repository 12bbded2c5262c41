"""A trial in; its finished run folder with the int8 file out. Runs in a process of Ray."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_mnist import backends, bundle
from edge_mnist.bundle import Artifact
from edge_mnist.errors import ClusterError
from edge_mnist.evaluation import evaluate
from edge_mnist.system.files import write_atomically
from edge_mnist.system.progress import Progress
from edge_mnist.system.verbosity import is_verbose

from .. import frameworks, runs

if TYPE_CHECKING:
    from ..training.run_options import TrainingPlan

INT8 = "model-int8.tflite"
RESULT = "trial.json"  # written last: a trial that has it is done
STOPPED = "stopped"  # written by the sweep when the scheduler ends a trial early
# Takes the epoch, from 1, and its validation accuracy; returns when the scheduler has decided.
Report = Callable[[int, float], None]


@dataclass(frozen=True)
class Job:
    """What a process needs to know of a trial.

    Attributes:
        folder: its run folder, absolute.
        options: of `train`; paths are absolute.
        recipe: the fields of the recipe that the sweep planned.
        cpus: the processors of this trial.
    """

    folder: str
    options: Mapping[str, Any]
    recipe: Mapping[str, Any]
    cpus: int


def run(config: Mapping[str, Any]) -> None:
    """Run a trial for Ray Tune, and report each of its epochs, or the error that ended it."""
    from ray import tune

    def report(epoch: int, accuracy: float) -> None:
        tune.report({"epoch": epoch, "val_accuracy": accuracy})

    try:
        complete(Job(**config["job"]), report)
    except Exception as error:  # noqa: BLE001 - the other trials go on
        details = traceback.format_exc() if is_verbose() else f"{error or type(error).__name__}"
        tune.report({"error": details})


def complete(job: Job, report: Report) -> None:
    """Train a trial or continue it, then write its int8 file and `trial.json`.

    The test set is not read. The epochs of an earlier process are reported again: the scheduler
    compares trials by them.

    Raises:
        ClusterError: this machine does not see the sweep's folder, or has other data.
        EdgeMnistError: as `train` and `export`.
    """
    folder = Path(job.folder)
    if not folder.parent.is_dir():
        raise ClusterError(
            f"Expected the folder {folder.parent} on every machine of the cluster, got none on "
            f"{platform.node()}; choose an --out that all of them share.",
            code="cluster-folder",
        )
    for row in _history(folder):
        report(int(row["epoch"]), row["val_accuracy"])
    if (folder / RESULT).is_file():
        return
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = str(job.cpus)
    progress = Progress(quiet=True)
    frameworks.load_keras("tensorflow")
    from ..training.run_options import RunOptions, plan

    planned = plan(RunOptions(**job.options), progress, test=False)
    if asdict(planned.recipe) != job.recipe:
        raise ClusterError(
            f"Expected the data and the teacher of the sweep on every machine, got other ones on "
            f"{platform.node()}; copy them there.",
            code="cluster-data",
        )
    _train(planned, folder, progress, report)
    _quantize(planned, folder, progress)


def _history(folder: Path) -> list[dict[str, float]]:
    with contextlib.suppress(FileNotFoundError):
        return runs.Run(folder, {}).history()
    return []


def _train(planned: TrainingPlan, folder: Path, progress: Progress, report: Report) -> None:
    if (folder / "run.json").is_file() and runs.read(folder).finished:
        return
    from ..training import loop

    runs.find_folder(planned.recipe, folder)
    loop.train(planned, folder, progress, [_reporter(report, folder / STOPPED)], test=False)


def _reporter(report: Report, stopped: Path) -> Any:
    """Return a Keras callback that reports each epoch, and ends the run of a stopped trial."""
    import keras

    class Reporter(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            report(epoch + 1, logs["val_accuracy"])
            self.model.stop_training = stopped.is_file()

    return Reporter()


def _quantize(planned: TrainingPlan, folder: Path, progress: Progress) -> None:
    """Write the int8 file and its accuracy on the validation images."""
    from .. import pipeline
    from ..conversion import source_model

    content, spec, validation = pipeline.quantize(
        source_model.find(folder), planned.source, progress=progress
    )
    path = folder / INT8
    write_atomically(path, content)
    artifact = Artifact(path, "tflite", "int8", spec, vouched=True)
    evaluation = evaluate(artifact, backends.installed("tflite")[0], validation)
    result = {
        "file": INT8,
        "size_bytes": len(content),
        "sha256": bundle.sha256(content),
        "validation_images": evaluation.images,
        "validation_accuracy": evaluation.accuracy,
    }
    write_atomically(folder / RESULT, json.dumps(result, indent=1) + "\n")
