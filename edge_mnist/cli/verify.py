"""edge-mnist verify."""

from __future__ import annotations

import json

import click

from .options import json_option, trust_option


@click.command(
    short_help="Who signed a bundle, and whether its files are whole.",
    epilog="\b\nExamples:"
    "\n  edge-mnist verify bundle --trust kitchen.pub"
    "\n  edge-mnist verify edge --json",
)
@click.argument("bundle", type=click.Path())
@trust_option
@json_option(help="JSON instead of text.")
def verify(bundle: str, trust: tuple[str, ...] | None, as_json: bool) -> None:
    """Check the signature of BUNDLE, and the size and SHA-256 of every file that it lists.

    BUNDLE is a folder, or edge or nano. The exit status is 0 if a trusted key signed it and every
    file is the one that was signed, 1 if not. Files that fit their manifest prove nothing unless
    the manifest is signed by a key that you trust.
    """
    from ..bundle.verification import verify as verify_bundle

    found = verify_bundle(bundle, trust=trust)
    click.echo(json.dumps(found.to_json()) if as_json else found.text())
    found.check()
