"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..backends import RUNTIMES

if TYPE_CHECKING:
    from ..bundle import Artifact, Trust
    from ..bundle.model_spec import Scaling
    from ..classifier import Classifier

Command = Callable[..., None]

FILE = click.Path(path_type=Path)
model_option = click.option(
    "--model",
    type=click.Path(),
    help="A bundle, a .tflite or an .onnx file, edge or nano.  [default: edge]",
)
latest_option = click.option(
    "--latest", is_flag=True, help="The newest bundle in runs/ instead of the shipped model."
)
trust_option = click.option(
    "--trust",
    multiple=True,
    metavar="KEY",
    callback=lambda context, parameter, value: value or None,
    help="Only bundles that this key signed: a .pub file, a folder of them, or the text of a key. "
    "Several times for several.  [default: the trusted keys of this user and machine, if any]",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
json_option = functools.partial(click.option, "--json", "as_json", is_flag=True)


def backend_option(default: str) -> Callable[[Command], Command]:
    """Return the option --backend; `default` describes the default."""
    return click.option(
        "--backend",
        type=click.Choice(list(RUNTIMES)),
        help=f"The runtime.  [default: {default}]",
    )


def scaling_options(command: Command) -> Command:
    """Add --scale, --mean and --std, and pass them on as one argument `scaling`."""

    @functools.wraps(command)
    def with_scaling(
        *,
        scale: tuple[float, ...] | None,
        mean: tuple[float, ...] | None,
        std: tuple[float, ...] | None,
        **others: Any,
    ) -> None:
        from ..bundle.model_spec import Scaling

        if scale is not None and len(scale) != 1:
            raise click.UsageError("Expected one number for --scale; --mean takes one a channel.")
        command(scaling=Scaling.given(scale and scale[0], mean, std), **others)

    helps = {
        "std": "Divide by this, after --mean: one number, or one a channel.",
        "mean": "Subtract this, after --scale: one number, or one a channel.",
        "scale": "For a file without a manifest, multiply pixels in 0…255 by this: 1, 1/255, …",
    }
    for name, text in helps.items():
        option = click.option(f"--{name}", metavar="NUMBER", callback=_numbers, help=text)
        with_scaling = option(with_scaling)
    return with_scaling


def check_latest(latest: bool, *models: str | None) -> None:
    """Refuse --latest together with a MODEL."""
    if latest and any(model is not None for model in models):
        raise click.UsageError("Expected a MODEL or --latest, got both.")


def find_model(
    model: str | None, *, latest: bool, trust: Trust, scaling: Scaling | None = None
) -> tuple[Artifact, ...]:
    """Return the files of MODEL, or of the newest bundle in runs/; without both of `edge`."""
    from ..bundle import find_artifacts, newest_bundle

    check_latest(latest, model)
    return find_artifacts(newest_bundle() if latest else model, scaling=scaling, trust=trust)


def name_model(artifact: Artifact) -> None:
    """Print on stderr which model a command uses: its bundle, training data and accuracy."""
    from ..bundle.provenance import provenance

    click.echo(f"Model: {provenance(artifact).line}", err=True)


def load_classifier(
    model: str | None,
    *,
    latest: bool,
    backend: str | None,
    scaling: Scaling | None,
    trust: Trust,
    threads: int = 1,
) -> Classifier:
    """Load MODEL and name it, and print a note if the scaling of its pixels is assumed."""
    from ..backends.selection import choose
    from ..classifier import Classifier

    artifacts = find_model(model, latest=latest, trust=trust, scaling=scaling)
    classifier = Classifier.from_artifact(*choose(artifacts, backend=backend), threads=threads)
    name_model(classifier.artifact)
    if classifier.scaling_from == "assumed":
        click.echo(
            f"edge-mnist: note: {model} does not say how it takes pixels; assumed is "
            f"{classifier.spec.scaling.options}. To find out: edge-mnist evaluate {model}",
            err=True,
        )
    return classifier


def _numbers(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    from ..bundle.model_spec import number

    try:
        return None if value is None else tuple(map(number, value.split(",")))
    except ValueError as error:
        raise click.BadParameter(
            f"expected a number such as 0.5 or 1/255, got {value!r}."
        ) from error
