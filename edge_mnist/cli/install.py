"""edge-mnist install."""

from __future__ import annotations

from pathlib import Path

import click

from .options import backend_option, store_option, trust_option


@click.command(
    short_help="Check a bundle and make it the installed one.",
    epilog="\b\nExamples:\n  edge-mnist install runs/mine/bundle\n"
    "  edge-mnist install edge --keep 2",
)
@click.argument("bundle", type=click.Path())
@store_option
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Generations to keep for `rollback`, the new one included.",
)
@backend_option("all that are installed")
@trust_option
@click.option(
    "--allow-downgrade",
    is_flag=True,
    help="Also a bundle that a trusted key signed before the current one.",
)
def install(
    bundle: str,
    store: Path | None,
    keep: int,
    backend: str | None,
    trust: tuple[str, ...] | None,
    allow_downgrade: bool,
) -> None:
    """Copy BUNDLE into the store, check the copy, and make it the bundle `installed`.

    BUNDLE is a bundle's folder, edge or nano. Every size and hash is checked, every file is loaded
    in the runtimes of this machine, and its examples are read. Only then one link moves: a power
    cut leaves the old bundle or the new one. `serve` follows the link when it is reloaded.
    """
    from ..bundle.provenance import provenance
    from ..store import Store
    from ..store import install as install_bundle
    from ..store.listing import preferred

    generation, checked = install_bundle(
        bundle,
        store=Store(store),
        keep=keep,
        backend=backend,
        trust=trust,
        allow_downgrade=allow_downgrade,
    )
    number, line = generation.number, provenance(preferred(generation.folder)).line
    if checked is None:
        click.echo(f"Nothing to do: generation {number} is current: {line}")
        return
    for message in checked.refused:
        click.echo(f"edge-mnist: warning: {message}", err=True)
    click.echo(f"Loaded {', '.join(f'{file} in {backend}' for file, backend in checked.loaded)}")
    click.echo(
        "The bundle states no examples"
        if checked.examples is None
        else f"Read {checked.examples} examples as the bundle states"
    )
    click.echo(f"Generation {number} is current: {line}")
