"""A run folder, a bundle or a model in; its files, its name and its training history out."""

from __future__ import annotations

import csv
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..bundle import MANIFEST, Artifact, find_artifacts, newest_bundle
from ..bundle.model_spec import Scaling
from ..bundle.provenance import provenance
from ..errors import BundleError, DataError

if TYPE_CHECKING:
    from ..bundle import File, Trust

_RECORD, _HISTORY = "run.json", "history.csv"
# Columns of history.csv that are drawn.
_METRICS = ("loss", "val_loss", "accuracy", "val_accuracy")


@dataclass(frozen=True)
class Subject:
    """The model that a report is about.

    Attributes:
        name: of the shipped bundle, the run, the bundle's folder or the file; without the folders
            above it, which are nobody's business.
        artifacts: the files.
        history: the metrics of every epoch, as training wrote them; empty without a run.
        folder: the run's folder if one was given, else None.
        data: the path of the data that the run was trained on; None if unknown, or drawn.
    """

    name: str
    artifacts: tuple[Artifact, ...]
    history: tuple[dict[str, float], ...]
    folder: Path | None
    data: str | None = None


def find_subject(
    model: File | None,
    *,
    latest: bool = False,
    scaling: Scaling | None = None,
    trust: Trust = None,
) -> Subject:
    """Return the model of a run folder (its newest bundle), a bundle, a file or a name.

    Raises:
        BundleError, ModelError: as `find_artifacts`; or the run has no bundle.
        DataError: the run's history cannot be read.
    """
    if latest:
        model = newest_bundle()
    path = None if model is None else Path(model)
    run = path if path is not None and _is_run(path) else None
    if run is not None:
        model = path = _newest_in(run)
    artifacts = find_artifacts(model, scaling=scaling, trust=trust)
    folder = artifacts[0].path.absolute().parent
    name = _name(artifacts[0], folder)
    if not _is_run(folder.parent):
        return Subject(name, artifacts, (), run)
    return Subject(
        name, artifacts, _read_history(folder.parent), run, _training_data(folder.parent)
    )


def _name(artifact: Artifact, folder: Path) -> str:
    """Return a name that tells a reader of the page which model it is."""
    origin = provenance(artifact)
    if origin.ships:
        return origin.bundle
    if origin.manifest_sha256 is None:
        return artifact.name
    in_run, usual = _is_run(folder.parent), folder.name == "bundle"
    if in_run and usual:
        return folder.parent.name
    return f"{folder.parent.name}/{folder.name}" if in_run or usual else folder.name


def _is_run(path: Path) -> bool:
    return (path / _RECORD).is_file() and not (path / MANIFEST).exists()


def _newest_in(run: Path) -> Path:
    found = [path for path in run.glob(f"*/{MANIFEST}") if path.parent.name[0] != "."]
    if not found:
        raise BundleError(
            f"Expected a bundle in the run {run}, got none; make one with: edge-mnist export {run}",
            code="bundle-run-unexported",
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def _training_data(run: Path) -> str | None:
    """Return the path of the run's data if it is still there."""
    try:
        path = json.loads((run / _RECORD).read_text(encoding="utf-8"))["data"]["path"]
        return path if Path(path).exists() else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # The report does without.


def _read_history(run: Path) -> tuple[dict[str, float], ...]:
    """Return the epochs of history.csv; a value that is no number, as of a diverged loss, is left
    out."""
    try:
        with (run / _HISTORY).open(encoding="utf-8", newline="") as file:
            rows = [{name: float(row[name]) for name in _METRICS} for row in csv.DictReader(file)]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"Expected {run / _HISTORY} as edge-mnist train writes it, got another file "
            f"({error!r:.100}); delete it to do without training curves.",
            code="data-history",
        ) from error
    return tuple({k: v for k, v in row.items() if math.isfinite(v)} for row in rows)


def default_out(subject: Subject) -> Path:
    """Return where a report goes without --out: into the run, else into the current folder."""
    return (subject.folder or Path(os.curdir)) / "report.html"
