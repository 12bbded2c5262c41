"""Choose the rejection threshold of a bundle again, after preprocessing or the rule has changed.

    .uv/bin/uv run python benchmarks/threshold.py edge_mnist/bundle/shipped/edge --keep

An export asks the Keras model. Here the best file of the bundle answers, such as the int8 one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edge_mnist import Classifier, datasets
from edge_mnist.bundle import MANIFEST, read_bundle
from edge_mnist.system.files import write_atomically
from edge_mnist_export.data.validation import hold_out
from edge_mnist_export.verification import rejection_threshold


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--data", default="mnist", show_default=True, help="As for edge-mnist evaluate.")
@click.option("--seed", default=1, show_default=True, help="Of the pictures without a digit.")
@click.option("--keep", is_flag=True, help="Write it into the manifest.")
def main(bundle: Path, data: str, seed: int, keep: bool) -> None:
    """Print the threshold of BUNDLE before and after."""
    manifest: dict[str, Any] = dict(read_bundle(bundle).manifest)
    if manifest.get("programs"):
        raise click.ClickException(
            f"Expected a bundle without programs, got {bundle}; export it again, because its "
            f"programs hold the threshold."
        )
    classifier = Classifier(bundle)
    validation = hold_out(datasets.load(datasets.find(data), "train"))[1]
    spec = classifier.spec._replace(threshold=0.0)
    found = rejection_threshold.choose(
        lambda images: classifier.predict_probabilities(images.reshape(-1, *spec.shape)),
        spec,
        validation,
        seed=seed,
    )
    click.echo(f"{classifier.artifact.name}: {classifier.spec.threshold} before")
    click.echo(json.dumps(found, indent=1))
    if keep and found:
        manifest["refusal"] = found
        write_atomically(bundle / MANIFEST, json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
