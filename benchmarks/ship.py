"""Copy a bundle into the package, with some of its precisions only.

    .uv/bin/uv run python benchmarks/ship.py RUN/bundle edge_mnist/bundle/shipped/edge int8

A bundle always has float32 files, which the others were verified against. In the package they would
be three quarters of its size.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from edge_mnist.bundle import MANIFEST, read_bundle


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("package", type=click.Path(path_type=Path, file_okay=False))
@click.argument("precisions", nargs=-1, required=True)
def main(bundle: Path, package: Path, precisions: tuple[str, ...]) -> None:
    """Copy BUNDLE to PACKAGE, replacing what is there, with PRECISIONS only."""
    manifest = dict(read_bundle(bundle).manifest)
    kept = [entry for entry in manifest["artifacts"] if entry["precision"] in precisions]
    if {entry["precision"] for entry in kept} != set(precisions):
        raise click.UsageError(f"Expected {', '.join(precisions)} in {bundle}, got only some.")
    manifest["artifacts"] = kept
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    examples = [manifest["examples"]] if "examples" in manifest else []
    for entry in (*kept, *examples):
        content = (bundle / entry["file"]).read_bytes()
        (package / entry["file"]).write_bytes(content)
        click.echo(f"{package / entry['file']}: {len(content):,} bytes")
    (package / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    click.echo(f"Next, with the release key: edge-mnist sign {package} --key KEY (CONTRIBUTING.md)")


if __name__ == "__main__":
    main()
