"""edge-mnist rollback."""

from __future__ import annotations

from pathlib import Path

import click

from .options import store_option, trust_option


@click.command(
    short_help="Go back to the bundle that was installed before.",
    epilog="\b\nExamples:\n  edge-mnist rollback\n  edge-mnist rollback --to 2",
)
@store_option
@trust_option
@click.option(
    "--to", type=click.IntRange(min=1), metavar="N", help="Another generation, by number."
)
def rollback(store: Path | None, trust: tuple[str, ...] | None, to: int | None) -> None:
    """Make the generation before the current one the bundle `installed`.

    `edge-mnist installed` lists the generations. The next `install` deletes those that are newer
    than the current one.
    """
    from ..bundle.provenance import provenance
    from ..store import Store
    from ..store import rollback as roll_back
    from ..store.listing import preferred

    generation = roll_back(Store(store), to=to, trust=trust)
    line = provenance(preferred(generation.folder)).line
    click.echo(f"Generation {generation.number} is current: {line}")
