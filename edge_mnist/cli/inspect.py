"""edge-mnist inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..system.strict_json import to_json
from .options import (
    backend_option,
    find_model,
    json_option,
    latest_option,
    name_model,
    scaling_options,
    trust_option,
)

if TYPE_CHECKING:
    from ..bundle.model_spec import Scaling


@click.command(
    short_help="The layers of a model, and the cost of each.",
    epilog="\b\nExamples:"
    "\n  edge-mnist inspect runs/mine/bundle --precision float32"
    "\n  edge-mnist inspect model.onnx --json",
)
@click.argument("model", required=False, type=click.Path())
@latest_option
@click.option(
    "--precision",
    type=click.Choice(("int8", "dynamic", "float16", "float32")),
    help="The file of the bundle.  [default: the one that predict uses]",
)
@backend_option("the best installed")
@scaling_options
@trust_option
@json_option(help="JSON instead of tables.")
def inspect(
    model: str | None,
    latest: bool,
    precision: str | None,
    backend: str | None,
    scaling: Scaling | None,
    trust: tuple[str, ...] | None,
    as_json: bool,
) -> None:
    """Show the layers of MODEL: parameters, multiply-adds, weights, quantization and time.

    MODEL is a bundle, a .tflite or an .onnx file, edge, nano or installed; without it, the shipped
    bundle `edge`. The time of each layer is measured here, with one thread; it takes a few seconds.
    """
    from ..backends.selection import choose
    from ..inspection.inspect import inspect as inspect_file
    from ..inspection.text_report import inspection_json, inspection_text

    artifacts = find_model(model, latest=latest, trust=trust, scaling=scaling)
    artifact, runtime = choose(artifacts, backend=backend, precision=precision)
    name_model(artifact)
    inspection = inspect_file(artifact, runtime)
    if as_json:
        click.echo(to_json(inspection_json(artifact, inspection, artifacts=artifacts)))
    else:
        click.echo(inspection_text(artifact, inspection, artifacts=artifacts))
