"""edge-mnist compare."""

from __future__ import annotations

import math
from pathlib import Path

import click

from ..system.strict_json import to_json
from .options import FILE, json_option


@click.command(
    short_help="Compare two benchmark files.",
    epilog="\b\nExample:\n  edge-mnist compare before.json after.json --fail-over 5%",
)
@click.argument("old", metavar="A.json", type=FILE)
@click.argument("new", metavar="B.json", type=FILE)
@click.option(
    "--fail-over",
    metavar="N%",
    default="10%",
    show_default=True,
    help="Exit with 1 if a median has become slower than this.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 also if a row is unclear.")
@json_option(help="JSON instead of a table.")
def compare(old: Path, new: Path, fail_over: str, strict: bool, as_json: bool) -> None:
    """Compare two benchmark files; exit with 1 if B is slower than A by more than a limit.

    A change counts if its 99 % confidence interval, and that of the quietest tenth of the rounds,
    lie beyond the limit.
    """
    from ..benchmark.compare import compare as compare_files

    limit = _fraction(fail_over)
    comparison = compare_files(old, new)
    for warning in comparison.warnings:
        click.echo(f"edge-mnist: warning: {warning}", err=True)
    click.echo(to_json(comparison.to_json(limit)) if as_json else comparison.text(limit))
    comparison.check(limit, strict=strict)


def _fraction(text: str) -> float:
    """Return "5%" as 0.05."""
    try:
        value = float(text.removesuffix("%")) / 100 if text.endswith("%") else -1.0
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise click.BadParameter(f"expected a limit such as 5%, got {text!r}.")
    return value
