"""edge-mnist benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import (
    FILE,
    backend_option,
    check_latest,
    find_model,
    latest_option,
    name_model,
    quiet_option,
    scaling_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..bundle.model_spec import Scaling


def _threads(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        threads = tuple(int(part) for part in value.split(","))
    except ValueError:
        threads = ()
    if not threads or min(threads) < 1:
        raise click.BadParameter(f"expected thread counts such as 1,2, got {value!r}.")
    return threads


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from ..benchmark.plan import parse_duration

    return None if value is None else parse_duration(value)


@click.command(
    short_help="Latency of a prediction on this machine.",
    epilog="\b\nExamples:"
    "\n  edge-mnist benchmark --quick"
    "\n  edge-mnist benchmark runs/mine/bundle --threads 1,2 --json result.json",
)
@click.argument("models", metavar="[MODEL]...", nargs=-1, type=click.Path())
@latest_option
@backend_option("all that are installed")
@scaling_options
@trust_option
@click.option(
    "--threads", default="1", show_default=True, callback=_threads, help="Counts, such as 1,2."
)
@click.option("--quick", is_flag=True, help="A first look, in under 20 seconds.")
@click.option("--runs", type=click.IntRange(10), help="Time this many predictions for each row.")
@click.option(
    "--duration", metavar="TIME", callback=_seconds, help="Sustained load for 30s, 10m, 1h."
)
@click.option("--json", "json_file", type=FILE, help="Write the results and raw samples here.")
@click.option("--csv", "csv_file", type=FILE, help="Write one line for each row here.")
@click.option("--html", "html_file", type=FILE, help="Write a report with plots here.")
@quiet_option
def benchmark(
    models: tuple[str, ...],
    latest: bool,
    backend: str | None,
    scaling: Scaling | None,
    trust: tuple[str, ...] | None,
    threads: tuple[int, ...],
    quick: bool,
    runs: int | None,
    duration: float | None,
    json_file: Path | None,
    csv_file: Path | None,
    html_file: Path | None,
    quiet: bool,
) -> None:
    """Measure the latency of a prediction, each file and runtime in a process of its own.

    The processes take turns, so that a drift of the machine affects all rows alike. The exit
    status is 1 if a row failed; the other rows are printed and written all the same.
    """
    from ..backends.selection import choose, pairs
    from ..benchmark.plan import make_plan
    from ..benchmark.suite import check_failures, report_files, run
    from ..benchmark.text_report import as_text
    from ..system.files import check_writable, write_atomically
    from ..system.progress import Progress

    if quick + (runs is not None) + (duration is not None) > 1:
        raise click.UsageError("Expected one of --quick, --runs and --duration, got several.")
    check_latest(latest, *models)
    found = [
        find_model(model, latest=latest, trust=trust, scaling=scaling)
        for model in models or (None,)
    ]
    artifacts = [artifact for bundle in found for artifact in bundle]
    for file in filter(None, (json_file, csv_file, html_file)):
        check_writable(file)
    jobs = [(a, r, t) for a, r in pairs(artifacts, backend) for t in threads]
    for bundle in found:
        if measured := [a for a in bundle if any(a is job[0] for job in jobs)]:
            name_model(choose(measured, backend=backend)[0])
    plan = make_plan(quick=quick, runs=runs, duration_s=duration, rows=len(jobs))
    progress = Progress(quiet=quiet)
    with progress.bar("Measuring") as show:
        document = run(jobs, plan=plan, show=show)
    click.echo(as_text(document))
    files = report_files(document, json_file=json_file, csv_file=csv_file, html_file=html_file)
    for file, content in files:
        write_atomically(file, content)
        progress.line(f"Wrote {file}")
    check_failures(document)
