"""A path or a recipe in, a run folder and its `run.json` out.

An unfinished run holds `run.json` (status "running"), `history.csv` and
`checkpoint-<epoch>.keras`. A finished run holds `run.json` (status "finished"), `history.csv`,
`model.keras` and `curves.png`. Both hold `config.toml`, the options of the command. Every file is
written under a temporary name, then renamed.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import html
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_mnist import bundle
from edge_mnist.datasets import Source
from edge_mnist.errors import BundleError, OutputError
from edge_mnist.system.files import check_free, new_folder, write_atomically
from edge_mnist.system.temporary import clear_abandoned, locked

from . import config

RUNS = Path(bundle.RUNS)
CHECKPOINTS = "checkpoint-*.keras"
_SCHEMA = 1
HISTORY = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights of a training run on one machine.

    Raises:
        ValueError: a field has a wrong type or range, or two fields contradict each other.
    """

    arch: str  # a name that `training.architectures.build` takes
    activation: str  # of the hidden layers, a Keras name
    data: str  # kind of the data set: "mnist", "synthetic" or "own"
    labels: str  # "sparse" or "one-hot"; with `augment` "one-hot", as outliers have soft targets
    augment: bool  # whether images are varied and mixed with outliers
    epochs: int
    seed: int  # of the weights, the order and the augmentation; below 2^32
    batch_size: int = 128  # images per step
    learning_rate: float = 1e-3  # the peak; from there it decays to 0 along a cosine
    warm_up_epochs: int = 0  # of linear rise to the peak
    optimizer: str = "adam"  # or "muon"
    weight_decay: float = 0.0  # decoupled; 0 for none
    variants: int | None = None  # number of different augmented epochs; None for all different
    teacher: str | None = None  # SHA-256 of the model to distil from; None to learn from labels
    temperature: float = 1.0  # softens targets and predictions in distillation
    limit: int | None = None  # number of training images read; None for all
    backend: str = "tensorflow"  # Keras's: or "jax"
    data_sha256: str | None = None  # of a user's own training images and labels
    height: int = 28  # of the images, in pixels
    width: int = 28
    channels: int = 1
    classes: int = 10

    def __post_init__(self) -> None:
        optional = [count for count in (self.limit, self.variants) if count is not None]
        counts = (self.epochs, self.batch_size, *self.shape, self.classes, *optional)
        names = (self.arch, self.activation, self.data, self.labels, self.optimizer, self.backend)
        integers = all(type(count) is int for count in (*counts, self.seed))
        if not integers or min(counts) < 1 or not 0 <= self.seed < 2**32:
            raise ValueError(f"epochs {self.epochs!r}, seed {self.seed!r}, limit {self.limit!r}")
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"names {names!r}")
        if self.augment and self.labels != "one-hot":
            raise ValueError(f"labels {self.labels!r} with augment")
        if self.teacher is not None and not (self.augment and isinstance(self.teacher, str)):
            raise ValueError(f"teacher {self.teacher!r} with augment {self.augment!r}")
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature!r}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Run:
    """A run folder and its parsed `run.json`.

    Attributes:
        path: the folder.
        record: the content of `run.json`.
        source: the data, if this process trained the run; else the record says where it is.
    """

    path: Path
    record: dict[str, Any]
    source: Source | None = field(default=None, compare=False, repr=False)

    @property
    def finished(self) -> bool:
        """Whether training has ended, so that `model.keras` exists."""
        return bool(self.record["status"] == "finished")

    @property
    def data(self) -> str:
        """The argument with which `datasets.find` finds the data of a finished run again."""
        data = self.record["data"]
        return str(data["path"] if data["path"] and Path(data["path"]).exists() else data["name"])

    @property
    def summary(self) -> str:
        """One line on a finished run: parameters, accuracy, duration."""
        results = self.record["results"]
        # A sweep's runs have none.
        test = (
            f"test accuracy {results['test_accuracy']:.2%} on {results['test_data']}"
            if "test_accuracy" in results
            else "test set not read"
        )
        return (
            f"{self.path}: {self.record['parameters']:,} parameters, {test} "
            f"(validation {results['validation_accuracy']:.2%}), {self.record['seconds']:.0f} s on "
            f"{self.record['device']}"
        )

    def history(self) -> list[dict[str, float]]:
        """Return the epochs: loss, accuracy, val_loss, val_accuracy and seconds of each."""
        with (self.path / "history.csv").open(encoding="utf-8", newline="") as file:
            return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]

    def to_dict(self) -> dict[str, Any]:
        """Return the path and the record, as JSON values."""
        return {"path": str(self.path), **self.record}

    def _repr_html_(self) -> str:
        """Return what a notebook shows: one line and the learning curves."""
        if not self.finished:
            return f"<p>{html.escape(str(self.path))}: unfinished</p>"
        curves = base64.b64encode((self.path / "curves.png").read_bytes()).decode()
        return (
            f"<p>{html.escape(self.summary)}</p>"
            f'<img alt="loss and accuracy by epoch" style="max-width: 100%" '
            f'src="data:image/png;base64,{curves}">'
        )


def read(folder: Path) -> Run:
    """Read the `run.json` of a run folder.

    Raises:
        BundleError: the file is missing, malformed or of another schema.
    """
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if record["schema"] != _SCHEMA or record["status"] not in ("running", "finished"):
            raise ValueError(f"schema {record['schema']!r}, status {record['status']!r}")
        Recipe(**record["recipe"])
    except OSError as error:
        raise BundleError(
            f"Expected a run folder (with run.json), got {folder}; make one with: edge-mnist train",
            code="bundle-run-missing",
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(
            f"Expected {folder / 'run.json'} as edge-mnist train writes it, got a broken or "
            f"foreign one ({error!r}); train again.",
            code="bundle-run-malformed",
        ) from error
    return Run(folder, record)


def find(path: Path | None) -> Run:
    """Return a finished run.

    Args:
        path: the run folder or its `model.keras`; None for the newest finished run in `runs/`.

    Raises:
        BundleError: there is no such run, or it is not finished.
    """
    if path is None:
        newest = next((run for run in list_runs(RUNS) if run.finished), None)
        if newest is None:
            raise BundleError(
                f"Expected a finished run in {RUNS}/, got none; make one with: edge-mnist train",
                code="bundle-run-missing",
            )
        return newest
    run = read(path.parent if path.suffix == ".keras" else path)
    if not run.finished:
        raise BundleError(
            f"Expected a finished run, got {path}, which was interrupted; repeat the command that "
            f"started it, which continues it.",
            code="bundle-run-unfinished",
        )
    return run


def find_folder(recipe: Recipe, out: Path | None) -> Path:
    """Return the folder to train in: a new one, or an unfinished run of the same recipe.

    Args:
        recipe: the recipe to train by.
        out: the user's choice; None for the newest matching unfinished run in `runs/`, else a
            new folder there, named after the architecture and the time.

    Raises:
        OutputError: `out` holds other files, a finished run or a run of another recipe.
        BundleError: the `run.json` in `out` is malformed.
    """
    if out is None:
        clear_abandoned(RUNS)
        for run in list_runs(RUNS):
            if run.finished:
                delete_checkpoints(run.path)  # Of a process that was killed just before it did so.
            elif Recipe(**run.record["recipe"]) == recipe:
                return run.path
        out = RUNS / f"{recipe.arch}-{datetime.now():%Y%m%d-%H%M%S}"
    if (out / "run.json").is_file():
        _check_resumable(read(out), recipe)
    else:
        check_free(out)
    return out


def _check_resumable(run: Run, recipe: Recipe) -> None:
    if run.finished:
        delete_checkpoints(run.path)  # Of a process that was killed just before it did so.
        raise OutputError(
            f"Expected a new or empty folder, got {run.path}, which holds a finished run; "
            f"choose another with --out, or delete it.",
            code="output-run-finished",
        )
    stored = asdict(Recipe(**run.record["recipe"]))
    differing = [name for name, value in asdict(recipe).items() if stored[name] != value]
    if differing:
        settings = ", ".join(f"{name} {stored[name]!r}" for name in differing)
        raise OutputError(
            f"Expected the settings of the unfinished run in {run.path} ({settings}), got other "
            f"ones; use the same settings, or choose another folder with --out.",
            code="output-run-recipe",
        )


def write_record(folder: Path, recipe: Recipe, *, status: str, **details: Any) -> Run:
    """Write `run.json` and return the run.

    Args:
        folder: the run folder.
        recipe: the recipe of the run.
        status: "running" or "finished".
        details: further keys of a finished run; JSON values.
    """
    record = {"schema": _SCHEMA, "status": status, "recipe": asdict(recipe), **details}
    write_atomically(folder / "run.json", json.dumps(record, indent=1) + "\n")
    return Run(folder, record)


def write_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write `history.csv`, one row per epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "epoch": int(row["epoch"])} for row in rows)
    write_atomically(folder / "history.csv", text.getvalue())


def read_history(folder: Path, epochs: int) -> list[dict[str, float]]:
    """Return the first `epochs` rows of `history.csv`.

    Raises:
        BundleError: the file is missing or malformed, or has fewer rows.
    """
    if not epochs:
        return []
    try:
        with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        rows = [{name: float(row[name]) for name in HISTORY} for row in table[:epochs]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise resume_error(folder, f"a history.csv that cannot be read ({error})") from error
    if [row["epoch"] for row in rows] != list(range(1, epochs + 1)):
        raise resume_error(folder, f"a history.csv without epochs 1 to {epochs}")
    return rows


def resume_error(folder: Path, found: str) -> BundleError:
    """Return the error for an unfinished run that cannot be resumed because of `found`."""
    return BundleError(
        f"Expected an unfinished run that can be resumed in {folder}, got {found}; "
        f"delete the folder, or choose another with --out.",
        code="bundle-run-damaged",
    )


@contextlib.contextmanager
def working(folder: Path, recipe: Recipe, settings: Mapping[str, Any]) -> Iterator[None]:
    """Make the run folder unless it is there, and lock it. The lock ends with the process.

    Where there are no locks, as on Windows and NFS, nothing is locked.

    Raises:
        OutputError: another process is training in the folder, or it cannot be written.
    """
    if not (folder / "run.json").is_file():
        with new_folder(folder) as new:
            config.write(new, "train", settings)
            write_record(new, recipe, status="running")
    with locked(folder) as held:
        if held is False:
            raise OutputError(
                f"Expected to train in {folder}, got a folder in which another process is "
                f"training; wait for it, or choose another folder with --out.",
                code="output-run-locked",
            )
        clear_abandoned(folder)
        yield


def delete_checkpoints(folder: Path, *, keep: Path | None = None) -> None:
    """Delete all checkpoints but `keep`."""
    for path in folder.glob(CHECKPOINTS):
        if path != keep:
            path.unlink(missing_ok=True)


def list_runs(root: Path) -> list[Run]:
    """Return the readable runs in the folders of `root`, newest first."""
    paths = sorted(
        # A name with a dot before it is that of a folder that is being written.
        root.glob("[!.]*/run.json"),
        key=lambda path: (path.stat().st_mtime_ns, str(path)),
        reverse=True,
    )
    runs = []
    for path in paths:
        # Other programs also write files named run.json.
        with contextlib.suppress(BundleError):
            runs.append(read(path.parent))
    return runs
