"""edge-mnist installed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import json_option, store_option


@click.command(
    short_help="List the generations of the store.",
    epilog="\b\nExample:\n  edge-mnist installed --json",
)
@store_option
@json_option(help="JSON instead of text.")
def installed(store: Path | None, as_json: bool) -> None:
    """List the bundles that `install` put into the store; a star marks the current one."""
    from ..store import Store
    from ..store.listing import document, text

    listed = document(Store(store))
    click.echo(json.dumps(listed) if as_json else text(listed))
