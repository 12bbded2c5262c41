"""Jobs in, their run folders and the errors of those that failed out; Ray Tune runs them."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_mnist.system import ray_cluster
from edge_mnist.system.info import usable_cpus
from edge_mnist.system.progress import Progress, Show
from edge_mnist.system.verbosity import is_verbose

from . import worker
from .space import Asha
from .worker import Job

_ENVIRONMENT = {
    # Ctrl-C ends the sweep at once. Tune would first wait for the running epochs.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Tables of its own; the run folders have them.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # An error is a result without an accuracy.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Its newer output has a heading that no verbosity turns off.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Paths are relative to the folder of the command.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def cpus_per_trial(at_once: int | None, *, local: bool) -> int:
    """Return the processors of a trial: those of this machine, divided among the trials at once.

    On a cluster, whose machines differ, it is one.
    """
    return max(1, usable_cpus() // at_once) if local and at_once else 1


def run(
    jobs: Mapping[str, Job],
    asha: Asha | None,
    *,
    address: str | None,
    at_once: int | None,
    progress: Progress,
) -> dict[str, str]:
    """Run every job, some at once; return the errors of those that failed, by name.

    Args:
        jobs: by the names of their trials.
        asha: the scheduler's settings; None for no scheduler.
        address: of a Ray cluster; None for this machine.
        at_once: the number of trials at once; None for one on each processor.
        progress: takes a line for each trial that ends, and shows a bar.

    Raises:
        ClusterError: there is no Ray, or no cluster at the address.
    """
    os.environ.update(_ENVIRONMENT)
    cpus = max(usable_cpus(), at_once or 1)
    progress.line(f"Starting Ray; trials to train: {len(jobs)}")
    with (
        ray_cluster.session(address, cpus=cpus),
        tempfile.TemporaryDirectory() as state,
        progress.bar("Sweep") as show,
    ):
        return _fit(jobs, asha, at_once, state, _watcher(jobs, progress, show))


def _fit(
    jobs: Mapping[str, Job], asha: Asha | None, at_once: int | None, state: str, watcher: Any
) -> dict[str, str]:
    from ray import tune

    if not is_verbose():
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    cpus = next(iter(jobs.values())).cpus
    results: Any = tune.Tuner(
        tune.with_resources(worker.run, {"cpu": cpus}),
        param_space={
            "name": tune.grid_search([*jobs]),
            "job": tune.sample_from(lambda config: asdict(jobs[config["name"]])),
        },
        tune_config=tune.TuneConfig(
            scheduler=_scheduler(asha, jobs) if asha else None,
            max_concurrent_trials=at_once,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig("tune", state, verbose=0, callbacks=[watcher]),
    ).fit()
    errors = {result.config["name"]: _error(result) for result in results}
    return {name: error for name, error in errors.items() if error}


def _error(result: Any) -> str:
    """Return the error that ended a trial; an empty string if none did."""
    if result.error:
        return f"its process died ({type(result.error).__name__})"
    return str((result.metrics or {}).get("error", ""))


def _scheduler(asha: Asha, jobs: Mapping[str, Job]) -> Any:
    """Return a scheduler that marks the folder of a trial that is to stop.

    Tune itself would end the trial's process, without a finished run.
    """
    from ray.tune.schedulers import ASHAScheduler

    class Scheduler(ASHAScheduler):
        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            job = jobs[trial.config["name"]]
            stop = super().on_trial_result(controller, trial, result) == self.STOP
            if stop and result["epoch"] < job.recipe["epochs"]:
                (Path(job.folder) / worker.STOPPED).touch()
            return str(self.CONTINUE)

    longest = max(job.recipe["epochs"] for job in jobs.values())
    return Scheduler(
        time_attr="epoch",
        metric="val_accuracy",
        mode="max",
        max_t=longest,
        grace_period=min(asha.grace_period, longest),
        reduction_factor=asha.reduction_factor,
    )


def _watcher(jobs: Mapping[str, Job], progress: Progress, show: Show) -> Any:
    """Return a callback of Tune that shows the epochs, and writes a line for each trial's end."""
    from ray import tune

    done = dict.fromkeys(jobs, 0)
    epochs = {name: job.recipe["epochs"] for name, job in jobs.items()}

    class Watcher(tune.Callback):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            name = trial.config["name"]
            done[name] = result.get("epoch", done[name])
            show(sum(done.values()) / sum(epochs.values()), f"{name}, epoch {done[name]}")

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            name, last = trial.config["name"], trial.last_result
            if "val_accuracy" in last:
                progress.line(
                    f"{name}: {done[name]} of {epochs[name]} epochs, validation accuracy "
                    f"{last['val_accuracy']:.2%}"
                )

    return Watcher()
