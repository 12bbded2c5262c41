"""A run folder: what was asked for, how far it came, what came out.

While a run is under way its folder holds `run.json` (status "running"), `history.csv` and
`checkpoint-<epoch>.keras`; when it is done, `run.json` (status "finished"), `history.csv`,
`model.keras` and `curves.png`. Every file is replaced whole.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_mnist import bundle
from edge_mnist.errors import BundleError, OutputError
from edge_mnist.system.files import check_free, write_atomically

RUNS = Path(bundle.RUNS)
SCHEMA = 1
HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run gives on one machine.

    `data` is the data set's kind; `limit` cuts the training images; `learning_rate` is reached
    after `warm_up_epochs`, and decays to 0 along a cosine; `weight_decay` is decoupled.
    `augment` mixes in what has soft targets, so that `labels` are "one-hot" then; of its variations
    there are `variants`, or as many as epochs. `teacher` is the SHA-256 of the model file whose
    answers are the targets, and `temperature` what softens them.
    """

    arch: str
    activation: str
    data: str
    labels: str
    augment: bool
    epochs: int
    seed: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    warm_up_epochs: int = 0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    variants: int | None = None
    teacher: str | None = None
    temperature: float = 1.0
    limit: int | None = None
    backend: str = "tensorflow"

    def __post_init__(self) -> None:
        maybe = (one for one in (self.limit, self.variants) if one is not None)
        counts = (self.epochs, self.batch_size, *maybe)
        names = (self.arch, self.activation, self.data, self.labels, self.optimizer, self.backend)
        whole = all(type(count) is int for count in (*counts, self.seed))
        if not whole or min(counts) < 1 or not 0 <= self.seed < 2**32:
            raise ValueError(f"epochs {self.epochs!r}, seed {self.seed!r}, limit {self.limit!r}")
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"names {names!r}")
        if self.augment and self.labels != "one-hot":
            raise ValueError(f"labels {self.labels!r} with augment")
        if self.teacher is not None and not (self.augment and isinstance(self.teacher, str)):
            raise ValueError(f"teacher {self.teacher!r} with augment {self.augment!r}")
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature!r}")


@dataclass(frozen=True)
class Run:
    """A run folder and its parsed `run.json`."""

    path: Path
    record: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether training is done and `model.keras` stands."""
        return bool(self.record["status"] == "finished")

    @property
    def data(self) -> str:
        """What `datasets.find` takes to find a finished run's data again."""
        data = self.record["data"]
        return str(data["path"] if data["path"] and Path(data["path"]).exists() else data["name"])


def read(path: Path) -> Run:
    """Read a run folder.

    Raises:
        BundleError: there is none, or its `run.json` cannot be understood.
    """
    try:
        record = json.loads((path / "run.json").read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA or record["status"] not in ("running", "finished"):
            raise ValueError(f"schema {record['schema']!r}, status {record['status']!r}")
        Recipe(**record["recipe"])
    except OSError as error:
        raise BundleError(
            f"Expected a run folder (with run.json), got {path}; make one with: edge-mnist train"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            f"Expected {path / 'run.json'} as edge-mnist train writes it, got a broken or foreign "
            f"one ({error!r}); train again."
        ) from error
    return Run(path, record)


def find(path: Path | None) -> Run:
    """Return the finished run at `path` (a folder or its model.keras), or the newest in runs/.

    Raises:
        BundleError: there is none, or it is not finished.
    """
    if path is None:
        newest = next((run for run in newest_first(RUNS) if run.finished), None)
        if newest is None:
            raise BundleError(
                f"Expected a finished run in {RUNS}/, got none; make one with: edge-mnist train"
            )
        return newest
    run = read(path.parent if path.suffix == ".keras" else path)
    if not run.finished:
        raise BundleError(
            f"Expected a finished run, got {path}, which was interrupted; "
            f"the command that started it continues it."
        )
    return run


def place(recipe: Recipe, out: Path | None) -> Path:
    """Return the folder to train in: a new one, or that of an unfinished run of this recipe.

    Raises:
        OutputError: `out` holds something else.
    """
    if out is None:
        for run in newest_first(RUNS):
            if not run.finished and run.record["recipe"] == asdict(recipe):
                return run.path
        new = RUNS / f"{recipe.arch}-{datetime.now():%Y%m%d-%H%M%S}"
        check_free(new)
        return new
    if not (out / "run.json").is_file():
        check_free(out)
        return out
    run = read(out)
    if run.finished:
        raise OutputError(
            f"Expected a new or empty folder, got {out}, which holds a finished run; "
            f"choose another with --out, or delete it."
        )
    differing = [
        name for name, value in asdict(recipe).items() if run.record["recipe"].get(name) != value
    ]
    if differing:
        settings = ", ".join(f"{name} {run.record['recipe'].get(name)!r}" for name in differing)
        raise OutputError(
            f"Expected to continue the unfinished run in {out}, got other settings (it has "
            f"{settings}); give those, or choose another folder with --out."
        )
    return out


def write_record(path: Path, recipe: Recipe, *, status: str, **details: Any) -> Run:
    """Write `run.json` and return the run."""
    record = {"schema": SCHEMA, "status": status, "recipe": asdict(recipe), **details}
    write_atomically(path / "run.json", json.dumps(record, indent=1) + "\n")
    return Run(path, record)


def read_history(path: Path, epochs: int) -> list[dict[str, float]]:
    """Return the first `epochs` rows of `history.csv`.

    Raises:
        BundleError: it does not hold them.
    """
    if not epochs:
        return []
    try:
        with (path / "history.csv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        rows = [{name: float(row[name]) for name in HISTORY} for row in table[:epochs]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"a history.csv that cannot be read ({error})") from error
    if [row["epoch"] for row in rows] != list(range(1, epochs + 1)):
        raise damaged(path, f"a history.csv without epochs 1 to {epochs}")
    return rows


def damaged(path: Path, what: str) -> BundleError:
    """Return what to raise where an unfinished run cannot be continued."""
    return BundleError(
        f"Expected an unfinished run that can be continued in {path}, got {what}; "
        f"delete the folder, or choose another with --out."
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a second process from training in the folder. The lock dies with its process.

    Raises:
        OutputError: another process is at it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    path.mkdir(parents=True, exist_ok=True)
    file = path / ".lock"
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                f"Expected to train in {path}, got another process at it already; "
                f"wait for it, or choose another folder with --out."
            ) from error
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
            # Where nothing was begun, nothing stays.
            with contextlib.suppress(OSError):
                path.rmdir()


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Write `history.csv`, a row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "epoch": int(row["epoch"])} for row in rows)
    write_atomically(path / "history.csv", text.getvalue())


def newest_first(root: Path) -> list[Run]:
    """Return the readable runs below `root`, the newest first."""
    paths = sorted(
        root.glob("*/run.json"), key=lambda path: (path.stat().st_mtime_ns, str(path)), reverse=True
    )
    runs = []
    for path in paths:
        try:
            runs.append(read(path.parent))
        except BundleError:
            continue  # Somebody else's run.json in runs/ is not ours to complain about.
    return runs
