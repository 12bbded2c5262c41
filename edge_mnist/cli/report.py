"""edge-mnist report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import (
    FILE,
    backend_option,
    check_latest,
    latest_option,
    name_model,
    quiet_option,
    scaling_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..bundle.model_spec import Scaling


@click.command(
    short_help="One page about a model, as an HTML file.",
    epilog="\b\nExamples:"
    "\n  edge-mnist report runs/mine"
    "\n  edge-mnist report nano --data mnist --limit 1000 --out nano.html",
)
@click.argument("model", metavar="[MODEL]", required=False, type=click.Path())
@latest_option
@click.option(
    "--data", help="auto, mnist, synthetic or a path.  [default: the run's data, else auto]"
)
@click.option("--limit", type=click.IntRange(1), help="Only the first N images.")
@backend_option("all that are installed")
@scaling_options
@trust_option
@click.option("--out", type=FILE, help="The page.  [default: report.html; RUN/report.html]")
@quiet_option
def report(
    model: str | None,
    latest: bool,
    data: str | None,
    limit: int | None,
    backend: str | None,
    scaling: Scaling | None,
    trust: tuple[str, ...] | None,
    out: Path | None,
    quiet: bool,
) -> None:
    """Evaluate, benchmark and inspect MODEL, and write one HTML page about it.

    MODEL is a run folder, a bundle, a .tflite or an .onnx file, edge or nano; without it, the
    shipped bundle `edge`. The page shows accuracy, training curves, misread images, calibration,
    latency and layers. It needs no network and no script. This takes about 30 seconds.
    """
    from ..backends.selection import choose
    from ..inspection.html_report import as_html
    from ..inspection.report import measure
    from ..inspection.run_folder import default_out, find_subject
    from ..system.files import check_writable, write_atomically
    from ..system.progress import Progress

    check_latest(latest, model)
    subject = find_subject(model, latest=latest, scaling=scaling, trust=trust)
    file = out or default_out(subject)
    check_writable(file)
    name_model(choose(subject.artifacts, backend=backend)[0])
    progress = Progress(quiet=quiet)
    with progress.bar("Measuring") as show:
        data = data or subject.data or "auto"
        measured = measure(subject, data=data, limit=limit, backend=backend, show=show)
    write_atomically(file, as_html(measured))
    click.echo(f"Wrote {file}")
