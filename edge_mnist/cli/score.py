"""edge-mnist score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ..errors import GateError
from ..system.strict_json import to_json
from .options import (
    FILE,
    backend_option,
    json_option,
    latest_option,
    load_classifier,
    model_option,
    quiet_option,
    scaling_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..bundle.model_spec import Scaling


@click.command(
    short_help="Read the digits of very many pictures or arrays.",
    epilog="\b\nExamples:"
    "\n  edge-mnist score scans/ digits/"
    "\n  edge-mnist score shards/ digits/ --address auto",
)
@click.argument("source", metavar="INPUT", type=click.Path())
@click.argument("output", type=FILE)
@model_option
@latest_option
@backend_option("the best installed")
@scaling_options
@trust_option
@click.option(
    "--actors",
    type=click.IntRange(1),
    help="Processes that score, with a model and a thread each.  [default: one a processor]",
)
@click.option("--address", help="A Ray cluster to work on: auto for this machine's, or HOST:PORT.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    help="Processes of this machine, or Ray.  [default: ray with --address, else local]",
)
@click.option("--column", help="Of Parquet files, or the array of an .npz file, with the images.")
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    help="Images a result.  [default: 1,000 pictures, 20,000 arrays; else one file]",
)
@json_option(help="JSON instead of text.")
@quiet_option
def score(
    source: str,
    output: Path,
    model: str | None,
    latest: bool,
    backend: str | None,
    scaling: Scaling | None,
    trust: tuple[str, ...] | None,
    actors: int | None,
    address: str | None,
    engine: Literal["local", "ray"] | None,
    column: str | None,
    shard_size: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Read the digit in each image of INPUT; write Parquet files into the folder OUTPUT.

    INPUT is a folder of pictures, an .npy or .npz file of arrays as the model takes them, a Parquet
    file, a .tar file (WebDataset), or a folder of such files. What cannot be read is a row with an
    error. The same command again does only what has no result yet.

    Without --address, processes of this machine do the work, and Ray is not needed. OUTPUT is
    written by all machines of a cluster, and INPUT read by all, so both lie on a shared disk.
    """
    from ..bundle.provenance import model_json
    from ..scoring.job import score as run
    from ..scoring.scorer import Model
    from ..system.progress import Progress

    if address and engine == "local":
        raise click.UsageError("Expected --address with --engine ray, got --engine local.")
    classifier = load_classifier(
        model, latest=latest, backend=backend, scaling=scaling, trust=trust
    )
    report = run(
        source,
        output,
        classifier,
        Model.of(classifier, scaling=scaling, trust=trust),
        engine=engine or ("ray" if address else "local"),
        workers=actors,
        address=address,
        column=column,
        shard_size=shard_size,
        progress=Progress(quiet=quiet),
    )
    if as_json:
        document = {"input": source, "output": str(output), **report.document()}
        click.echo(to_json({**document, "model": model_json([classifier.artifact])}))
    else:
        click.echo(report.text)
    if report.failures:
        raise GateError(
            f"Expected a result of each of {report.shards} shards, got {len(report.failures)} "
            f"without; the warnings say why, and the same command does only these.",
            code="gate-shards",
        )
