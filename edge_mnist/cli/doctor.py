"""edge-mnist doctor."""

from __future__ import annotations

import json

import click

from .options import json_option


@click.command(
    short_help="What this machine can run, and what to install.",
    epilog="\b\nExample:\n  edge-mnist doctor --json",
)
@json_option(help="JSON instead of text.")
def doctor(as_json: bool) -> None:
    """Say what this machine can run, and what to install."""
    from ..backends.diagnosis import diagnose, text

    diagnosis = diagnose()
    click.echo(json.dumps(diagnosis, indent=1) if as_json else text(diagnosis))
