"""`edge-mnist keygen`: a new pair of keys, as files of minisign."""

from __future__ import annotations

from pathlib import Path

import click

from .options import PATH


@click.command(
    short_help="Make a key to sign bundles with.",
    epilog="\b\nExamples:\n  edge-mnist keygen\n  edge-mnist keygen --out ~/keys/kitchen",
)
@click.option("--out", type=PATH, default=Path("edge-mnist"), show_default=True, metavar="NAME")
@click.option("--no-password", is_flag=True, help="Whoever has the file can sign.")
def keygen(out: Path, no_password: bool) -> None:
    """Write NAME.key, the secret key, and NAME.pub, the public one, in minisign's formats.

    Keep NAME.key where bundles are made. NAME.pub goes to every device. The password is asked for,
    or EDGE_MNIST_KEY_PASSWORD; a key with a password takes 1 GiB of memory and a few seconds to
    make and to use.
    """
    from ..bundles import signing

    secret, public = signing.key_paths(out)
    signing.check_new(out)
    key = signing.make_key(out, password=None if no_password else signing.new_password(secret))
    click.echo(
        f"Wrote {secret} (keep it secret) and {public}\n"
        f"key: {key.public.key_id}\n\n"
        f"Sign a bundle:    edge-mnist sign BUNDLE --key {secret}\n"
        f"Trust it:         copy {public} into ~/.config/edge-mnist/trusted of each device\n"
        f"Check a bundle:   edge-mnist verify BUNDLE --trust {public}"
    )
