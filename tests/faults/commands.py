"""The commands of the campaign: their inputs and outputs, and the parts that may differ."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_mnist.datasets import synthetic
from tests.conftest import REPOSITORY

# What differs between two undisturbed runs: times, and Keras's addresses of objects in memory.
_VARYING = {"seconds", "date_saved", "shared_object_id"}
_OLD = "what was here before"


@dataclass(frozen=True)
class Place:
    """The folders of one try. Their paths are the same in each, as some outputs state them."""

    root: Path

    @property
    def work(self) -> Path:
        """The working folder, with inputs and outputs."""
        return self.root / "work"

    @property
    def home(self) -> Path:
        """$HOME."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """$TMPDIR."""
        return self.root / "tmp"

    def files(self) -> set[str]:
        """Return the names of all files and folders, but not those of a model's framework."""
        names = (str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        return {name for name in names if not name.startswith(FRAMEWORKS) and name != _CACHE}


# Written by Keras and matplotlib, once for all programs of a user.
FRAMEWORKS = ("home/.keras", "home/.config", "home/.cache/matplotlib")
_CACHE = "home/.cache"


@dataclass(frozen=True)
class Command:
    """A command, and how to tell whole outputs from half-written ones.

    Attributes:
        name: of the command in reports.
        arguments: of `edge-mnist`, run in `Place.work`.
        outputs: each exists whole or not at all, or is as before.
        old: outputs that exist before the command, as a user's.
        inputs: puts the inputs into the working folder.
        resumable: parts of names that may stay after an interrupt, so that the next run goes on.
        done: the error with which a repetition refuses a finished output, if it does.
        comparable: an output's parts that are the same in each run.
    """

    name: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    inputs: Callable[[Path], None]
    old: tuple[str, ...] = ()
    resumable: tuple[str, ...] = ()
    done: str | None = None
    comparable: Callable[[Path], Any] = lambda path: content(path)
    downloads: bool = False

    def make(self, place: Place) -> None:
        """Make the folders as they are before the command."""
        for folder in (place.work, place.home, place.temporary):
            folder.mkdir(parents=True, exist_ok=True)
        self.inputs(place.work)
        for name in self.old:
            (place.work / name).write_text(_OLD)

    def state(self, place: Place) -> dict[str, Any]:
        """Return the outputs that exist and are not those from before, in comparable form."""
        found = ((name, place.root / name) for name in self.outputs)
        return {
            name: self.comparable(path)
            for name, path in found
            if path.exists() and not (path.is_file() and path.read_bytes() == _OLD.encode())
        }


def content(path: Path) -> Any:
    """Return a file or a folder without times: text, bytes or a mapping by name."""
    if path.is_dir():
        return {one.name: content(one) for one in sorted(path.iterdir())}
    if path.suffix == ".json":
        return _without_varying(json.loads(path.read_text()))
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(path.read_text()))
        return [{key: row[key] for key in row if key not in _VARYING} for row in rows]
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            whole = {name: archive.read(name) for name in archive.namelist()}
        texts = {name: json.loads(whole.pop(name)) for name in ("metadata.json", "config.json")}
        return {**whole, **_without_varying(texts)}
    return path.read_bytes()


def _without_varying(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_varying(one) for key, one in value.items() if key not in _VARYING}
    return [_without_varying(one) for one in value] if isinstance(value, list) else value


def kind_of_measurement(path: Path) -> Any:
    """Return what is the same in two files of measurements: their ends, not their numbers."""
    text = path.read_text()
    if path.suffix == ".json":
        return sorted(json.loads(text))
    return text.splitlines()[0][:20], text[-8:] if path.suffix == ".html" else text[-1:]


def _digits(work: Path) -> None:
    arrays = {}
    for split, count in (("train", 120), ("test", 60)):
        images, labels = synthetic.split(split, limit=count)
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
    np.savez(work / "digits.npz", **arrays)


def _nothing(work: Path) -> None:
    pass


_DIGIT = str(REPOSITORY / "examples" / "digits")
_DATA = ("--data", "digits.npz")
_BENCHMARK = ("benchmark", "-q", "edge", "--runs", "10")
_EXPORT = ("export", "-q", "run", *_DATA, "--int8")
_TRAIN = ("train", "-q", *_DATA, "--arch", "pico", "--recipe", "plain", "--epochs", "3")


def commands(run: Path) -> dict[str, Command]:
    """Return the commands by name.

    Args:
        run: where a finished run of `train` is, or will be; `export` takes it.
    """

    def with_run(work: Path) -> None:
        _digits(work)
        shutil.copytree(run, work / "run")

    every = (
        Command(
            "train",
            (*_TRAIN, "--out", "run"),
            ("work/run/model.keras", "work/run/curves.png"),
            _digits,
            resumable=("work/run",),
            done="holds a finished run",
        ),
        Command(
            "export",
            (*_EXPORT, "--max-drop", "100", "--min-agreement", "0", "--out", "bundle"),
            ("work/bundle",),
            with_run,
            done="which holds something",
        ),
        Command(
            "benchmark",
            (*_BENCHMARK, "--json", "new.json", "--csv", "old.csv", "--html", "new.html"),
            ("work/new.json", "work/old.csv", "work/new.html"),
            _nothing,
            old=("old.csv",),
            comparable=kind_of_measurement,
        ),
        Command(
            "report",
            ("report", "-q", "edge", *_DATA, "--out", "old.html"),
            ("work/old.html",),
            _digits,
            old=("old.html",),
            comparable=kind_of_measurement,
        ),
        Command("evaluate", ("evaluate", "-q", "edge", *_DATA, "--json"), (), _digits),
        Command(
            "predict",
            ("predict", "-q", _DIGIT, "--save-preprocessed", "seen"),
            tuple(f"work/seen/{digit}.png" for digit in range(10)),
            _nothing,
            resumable=("work/seen",),
        ),
        Command(
            "download",
            ("evaluate", "-q", "edge", "--data", "mnist", "--limit", "20", "--json"),
            tuple(f"home/.cache/edge-mnist/mnist/t10k-{kind}-ubyte.gz" for kind in _IDX),
            _nothing,
            resumable=("home/.cache",),
            downloads=True,
        ),
    )
    return {command.name: command for command in every}


_IDX = ("images-idx3", "labels-idx1")
