"""Add examples to bundles that were exported before there were any, or choose them anew.

    .uv/bin/uv run python benchmarks/add_examples.py edge_mnist/bundle/shipped/edge

Only the manifest's key `examples` changes, and `examples.npz`. A signature has to be made again.
"""

from __future__ import annotations

from pathlib import Path

import click

from edge_mnist.bundle import read_bundle
from edge_mnist.bundle.verification import EXAMPLES
from edge_mnist_export.bundles import examples
from edge_mnist_export.bundles.bundle_writer import BundleWriter


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
def main(bundles: tuple[Path, ...]) -> None:
    """Write examples into BUNDLES."""
    for folder in bundles:
        bundle, writer = read_bundle(folder), BundleWriter(folder)
        manifest = {key: value for key, value in bundle.manifest.items() if key != EXAMPLES}
        added = examples.add(writer, bundle.artifacts, report=click.echo)
        before = list(manifest).index("artifacts")
        items = list(manifest.items())
        writer.write(dict([*items[:before], *added.items(), *items[before:]]))
        click.echo(f"{folder}: {added.get(EXAMPLES)}")


if __name__ == "__main__":
    main()
