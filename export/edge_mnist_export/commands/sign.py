"""`edge-mnist sign`: a bundle and a secret key in, the bundle's signature out."""

from __future__ import annotations

from pathlib import Path

import click

from .options import PATH


@click.command(
    short_help="Sign a bundle.",
    epilog="\b\nExample:\n  edge-mnist sign runs/mine/bundle --key edge-mnist.key",
)
@click.argument("bundle", type=PATH)
@click.option("--key", type=PATH, required=True, help="The secret key, of keygen or minisign.")
@click.option(
    "--comment", metavar="TEXT", help="Signed with it, after the time.  [default: minisign's]"
)
def sign(bundle: Path, key: Path, comment: str | None) -> None:
    """Sign BUNDLE: write manifest.json.minisig, in minisign's format, beside its manifest.

    Every file that the manifest lists is checked first. The password of the key is asked for, or
    EDGE_MNIST_KEY_PASSWORD. A signature that is there already is replaced.
    """
    from ..bundles import signing

    secret = signing.open_key(key)
    written = signing.sign(bundle, secret, comment=comment)
    click.echo(f"Wrote {written}\nsigned by: {secret.public.key_id}")
