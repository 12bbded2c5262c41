"""`edge-mnist sweep`: a space file in, a folder of runs and their table out."""

from __future__ import annotations

from pathlib import Path

import click

from edge_mnist.system.progress import Progress

from ..runs import RUNS
from .options import PATH, quiet_option


@click.command(
    short_help="Train many models by Ray Tune, and compare them.",
    epilog="\b\nExamples:"
    "\n  edge-mnist sweep space.yaml"
    "\n  edge-mnist sweep space.yaml --out /shared/sweep --address auto",
)
@click.argument("space", type=PATH)
@click.option("--out", type=PATH, help="The folder of the sweep.  [default: runs/SPACE]")
@click.option(
    "--address",
    metavar="auto|HOST:PORT",
    help="Join a Ray cluster, all of whose machines see the data and --out.  [default: only this "
    "machine]",
)
@click.option(
    "--at-once",
    type=click.IntRange(1),
    help="Trials at once.  [default: one on each processor]",
)
@quiet_option
def sweep(
    space: Path, out: Path | None, address: str | None, at_once: int | None, quiet: bool
) -> None:
    """Train a model for each combination of options in SPACE, a YAML file, and compare them.

    Each trial is a run folder with an int8 file. Validation images decide which of them are on the
    Pareto fronts of accuracy against size and latency; the test set is read at the end, for these
    alone. The same command continues an interrupted sweep.
    """
    from ..sweeps import sweep as sweeps

    folder = out or RUNS / space.stem
    progress = Progress(quiet=quiet)
    try:
        sweeps.sweep(
            space, folder, address=address, at_once=at_once, progress=progress, show=click.echo
        )
    except KeyboardInterrupt:
        progress.warn(f"{folder} keeps the finished trials and epochs: the same command continues.")
        raise
