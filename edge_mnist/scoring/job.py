"""An input, a model and a folder in; the folder with a result of each shard, and a report, out."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..classifier import Classifier
from ..errors import ClusterError, OutputError
from ..system.durability import make_folders
from ..system.files import check_free, write_atomically
from ..system.progress import Progress
from ..system.temporary import clear_abandoned
from . import engines
from .reading import Shard, pyarrow
from .scorer import Model, Scorer, Summary
from .shards import plan

# Readers of folders of Parquet files skip names that begin with an underscore.
JOB, _LOCK = "_score.json", "_lock"
# Results in a row that could not be written, after which the disk counts as full.
_UNWRITABLE = 3


class Report(NamedTuple):
    """What was done.

    Attributes:
        workers: what did it, such as "2 local processes".
        shards: of the input.
        before: those that had a result already.
        failures: code and message of each shard without a result.
        images: scored now.
        rejected: of these, how many hold no digit, or one of which the model is unsure.
        errors: how many could not be scored, by the code of the error.
        seconds: from the start of the workers to their end.
        worker_seconds: in which the workers scored shards, added up.
        processor_seconds: that they used meanwhile, added up.
    """

    workers: str
    shards: int
    before: int
    failures: list[tuple[str, str]]
    images: int
    rejected: int
    errors: dict[str, int]
    seconds: float
    worker_seconds: float
    processor_seconds: float

    def document(self) -> dict[str, Any]:
        """Return it as JSON values; docs/reference/json.md has the keys."""
        failures = [{"code": code, "message": message} for code, message in self.failures]
        return {**self._asdict(), "failures": failures, "images_per_s": self.images_per_s}

    @property
    def images_per_s(self) -> float | None:
        """Images a second, the workers' start included; None without any."""
        return self.images / self.seconds if self.images else None

    @property
    def text(self) -> str:
        """The report in a few lines."""
        lines = [f"Shards: {self.shards}, of which {self.before} had a result before."]
        if self.images_per_s:
            lines.append(
                f"Images: {self.images:,} in {self.seconds:.1f} s ({self.images_per_s:,.0f} a "
                f"second) by {self.workers}."
            )
        lines.append(f"No digit, or unsure: {self.rejected:,}")
        lines += [f"Error {code}: {count:,}" for code, count in sorted(self.errors.items())]
        return "\n".join(lines)


def score(
    given: str,
    output: Path,
    classifier: Classifier,
    model: Model,
    *,
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    address: str | None = None,
    column: str | None = None,
    shard_size: int | None = None,
    progress: Progress,
) -> Report:
    """Score every image of an input whose shard has no result yet.

    Args:
        given: a file or folder, as for `shards.plan`.
        output: a new folder, or one that the same job began.
        classifier: the loaded model, which says what it takes.
        model: the same, for the workers.
        engine: "local" for processes of this machine, "ray" for actors of Ray.
        workers: None for one a processor.
        address: of the Ray cluster; None for this machine.
        column: a column or array, as for `shards.plan`.
        shard_size: images of a shard, as for `shards.plan`.
        progress: shows it.

    Raises:
        DataError: the input cannot be read.
        OutputError: the folder is another job's, or cannot be written to.
        ClusterError: as `engines.on_ray`, or a worker cannot load the model.
    """
    pyarrow()
    todo = plan(given, output=output, shape=classifier.spec.shape, column=column, size=shard_size)
    job = {
        "input": str(Path(given).absolute()),
        "column": todo.column,
        "shard_size": todo.size,
        "model_sha256": model.sha256,
        "file": model.file,
        "backend": model.backend,
        "scaling": classifier.spec.scaling.options,
    }
    if todo.column:
        progress.line(f"Images: {todo.column} in {given}")
    with _folder(output, job):
        left = _without_result(output, todo.shards)
        done, workers_name, seconds = [], "no worker", 0.0
        if left:
            scorer = Scorer(model, str(output.absolute()))
            start = time.perf_counter()
            run = (
                engines.local(left, scorer, workers)
                if engine == "local"
                else engines.on_ray(left, scorer, workers, address)
            )
            with run as running, progress.bar("Scoring") as show:
                workers_name = running.workers
                progress.line(f"Shards to score: {len(left):,}, with {workers_name}")
                for summary in _checked(running.summaries, progress):
                    done.append(summary)
                    show(len(done) / len(left), f"{sum(one.images for one in done):,} images")
            seconds = time.perf_counter() - start
    return Report(
        workers_name,
        len(todo.shards),
        len(todo.shards) - len(left),
        [one.failure for one in done if one.failure],
        sum(one.images for one in done),
        sum(one.rejected for one in done),
        dict(sum((Counter(one.errors) for one in done), Counter())),
        seconds,
        sum(one.seconds for one in done),
        sum(one.processor_seconds for one in done),
    )


@contextlib.contextmanager
def _folder(output: Path, job: dict[str, Any]) -> Iterator[None]:
    """Make the folder of a job, or go on in it; keep other jobs out, and clear it of remains."""
    try:
        if not any((output / name).exists() for name in (JOB, _LOCK)):
            check_free(output, option="OUTPUT")
        make_folders(output.absolute())
        with (output / _LOCK).open("a") as lock:
            if not _is_locked(lock.fileno()):
                raise OutputError(
                    f"Expected {output} for this job alone, got another that writes there; wait "
                    f"for its end, or choose another folder.",
                    code="output-locked",
                )
            clear_abandoned(output)
            _begin(output, job)
            try:
                yield
            finally:
                clear_abandoned(output)
    except OSError as error:
        raise OutputError(
            f"Expected to write {output}, got: {error.strerror or error}; choose another place.",
            code="output-unwritable",
        ) from error


def _is_locked(descriptor: int) -> bool:
    """Lock a file; return whether no other process holds it; True where there are no locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass
    return True


def _begin(output: Path, job: dict[str, Any]) -> None:
    """Write down the job, or compare it with the one that was written down."""
    path = output / JOB
    if not path.exists():
        write_atomically(path, json.dumps(job, indent=1))
        return
    try:
        begun = dict(json.loads(path.read_bytes()))
    except ValueError:
        begun = {}
    for key, value in job.items():
        if begun.get(key) != value:
            raise OutputError(
                f"Expected {key} {begun.get(key)} as in the job that began {output}, got {value}; "
                f"give the same, or choose another folder.",
                code="output-other-job",
            )


def _without_result(output: Path, shards: Sequence[Shard]) -> list[Shard]:
    # A hidden file is a temporary one, perhaps of a worker that is about to end.
    found = {path.name for path in output.glob("[!.]*.parquet")}
    if others := sorted(found - {shard.result for shard in shards}):
        raise OutputError(
            f"Expected results of the input as it is now in {output}, got {len(others)} others, "
            f"such as {others[0]}; delete them, or choose another folder.",
            code="output-stale",
        )
    return [shard for shard in shards if shard.result not in found]


def _checked(summaries: Iterator[Summary], progress: Progress) -> Iterator[Summary]:
    """Yield the summaries, warn of failures, and end the job if all others would fail, too."""
    unwritable = 0
    for summary in summaries:
        code, line = summary.failure or ("", "")
        if summary.final:
            raise ClusterError(line, code=code)
        unwritable = unwritable + 1 if code == "output-unwritable" else 0
        if unwritable == _UNWRITABLE:
            raise OutputError(line, code=code)
        if line:
            progress.warn(f"edge-mnist: warning: {line}")
        yield summary
