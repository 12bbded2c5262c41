"""The campaign: python -m tests.faults [--times N] [--seed S] [COMMAND …]"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from edge_mnist.datasets import idx
from edge_mnist.system.temporary import clear_abandoned, temporary_folder
from tests.conftest import find_mnist
from tests.datasets.support import Mirror

from . import campaign as campaigns
from . import reload
from .campaign import Campaign, Report
from .commands import Command, Place, commands
from .process import Fault, build_shim, import_everything, run

KINDS = ("kills", "errors", "full", "read-only", "environments")


def main() -> int:
    """Run the campaign, print counts and failures, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="of each signal; of I/O errors")
    parser.add_argument("--steps", type=int, default=24, help="sizes of a disk that fills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of faults, with commas")
    parser.add_argument("commands", nargs="*", metavar="COMMAND")
    options = parser.parse_args()
    if "FAULT_SHIM" not in os.environ:
        return _again_with_shim()
    root = Path(os.environ["FAULT_SHIM"]).parent
    every = commands(root / "run")
    names = options.commands or [*every, "serve"]
    wanted = [every[name] for name in names if name != "serve"]
    kinds = options.kinds.split(",")
    report = Report()
    if {"full", "read-only"} & set(kinds) and not campaigns.can_mount(root):
        report.say("Skipped: full and read-only disks, because only root may mount one")
        kinds = [kind for kind in kinds if kind not in ("full", "read-only")]
    if any(command.name in ("train", "export") for command in wanted):
        import_everything()
    if "serve" in names and "kills" in kinds:
        reload.kill(root / "serve", report, options.times, random.Random(options.seed))
    _train_a_run(every["train"], root, wanted)
    for command in wanted:
        mirror = _mirror() if command.downloads else None
        if command.downloads and mirror is None:
            report.say(f"Skipped: {command.name}, which needs the real MNIST in $EDGE_MNIST_DATA")
            continue
        began = time.monotonic()
        one = Campaign(command, Place(root / command.name), report, mirror=mirror)
        _faults(one, kinds, options, random.Random(f"{options.seed} {command.name}"))
        report.say(f"{command.name}: {time.monotonic() - began:.0f} s, {one.calls} calls")
        shutil.rmtree(one.place.root)
    for name, count in sorted(report.counts.items()):
        report.say(f"{count:6} {name}")
    report.say(f"{report.counts.total()} faults, {len(report.failures)} failures")
    return 1 if report.failures else 0


def _faults(
    one: Campaign, kinds: list[str], options: argparse.Namespace, chance: random.Random
) -> None:
    if "kills" in kinds:
        one.kill(options.times, chance)
    if "errors" in kinds and one.calls:
        campaigns.io_errors(one, options.times, chance)
    if "full" in kinds:
        campaigns.full_disks(one, options.steps)
    if "read-only" in kinds:
        campaigns.read_only(one)
    if "environments" in kinds:
        campaigns.environments(one)


def _again_with_shim() -> int:
    """Start this program again, with the faults of system calls loaded."""
    clear_abandoned(Path(tempfile.gettempdir()))
    with temporary_folder(Path(tempfile.gettempdir())) as folder:
        folder.chmod(0o755)  # One of the faults is another user.
        shim = build_shim(folder)
        if shim is None:
            click.echo("Skipped: everything, because there is no C compiler")
            return 0
        env = {**os.environ, "LD_PRELOAD": str(shim), "FAULT_SHIM": str(shim)}
        command = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
        return subprocess.run(command, env=env, check=False).returncode


def _train_a_run(train: Command, root: Path, wanted: list[Command]) -> None:
    """Train the run that `export` takes."""
    if all(command.name != "export" for command in wanted):
        return
    place = Place(root / "made")
    train.make(place)
    ended = run(train, place, Fault())
    assert ended.status == 0, ended
    (place.work / "run").rename(root / "run")
    shutil.rmtree(place.root)


def _mirror() -> str | None:
    """Serve MNIST's test images from this machine; return the address."""
    folder = find_mnist()
    if folder is None:
        return None
    files = {file.archive: folder / file.archive for file in idx.FILES["test"]}
    if not all(path.is_file() for path in files.values()):
        return None
    return Mirror({name: path.read_bytes() for name, path in files.items()}).url


if __name__ == "__main__":
    sys.exit(main())
