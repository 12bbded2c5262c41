"""A bundle in, a folder for the Hugging Face Hub out: the bundle, a model card, the Keras model.

The folder is a bundle too: `Classifier` takes it as it is. The card is README.md; its first lines
are metadata in YAML, as https://huggingface.co/docs/hub/model-cards describes them. Every figure
comes from the manifest. The Hub's own package is not needed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from edge_mnist.bundle import MANIFEST, SIGNATURE, read_bundle
from edge_mnist.bundle.model_spec import ModelSpec, spec_from_manifest
from edge_mnist.errors import OutputError
from edge_mnist.system.files import check_free, new_folder
from edge_mnist.system.text_table import percent

CARD = "README.md"
KERAS = "model.keras"
Manifest = Mapping[str, Any]

# By the first part of a data set's name: its identifier on the Hub, and its name for people.
_DATA = {
    "mnist": ("ylecun/mnist", "MNIST"),
    "synthetic": ("synthetic", "digits drawn by edge-mnist, not MNIST"),
}


def check_place(out: Path, bundle: Path) -> None:
    """Check, before the work begins, that the folder can be written beside the bundle.

    Raises:
        OutputError: it holds something, cannot be written, or one of both is inside the other.
    """
    places = out.resolve(), bundle.resolve()
    if places[0].is_relative_to(places[1]) or places[1].is_relative_to(places[0]):
        raise OutputError(
            f"Expected a folder for the Hub outside the bundle {bundle}, got {out}; choose another "
            f"with --hf.",
            code="output-hub-place",
        )
    check_free(out, option="--hf")


def write(bundle: Path, out: Path, *, keras: Path | None = None) -> None:
    """Write the folder.

    Args:
        bundle: the bundle's folder.
        out: the folder, new or empty.
        keras: the `.keras` file that the bundle was exported from, if it goes along.

    Raises:
        BundleError, OutputError: the bundle cannot be read, or `out` cannot be written.
    """
    found = read_bundle(bundle, trust=False)
    card = model_card(found.manifest, name=out.absolute().name, keras=keras is not None)
    with new_folder(out) as folder:
        for artifact in found.artifacts:
            # Read, not copied: this checks size and hash.
            (folder / artifact.name).write_bytes(artifact.read())
        for program in found.manifest.get("programs", ()):
            if name := program.get("folder"):
                shutil.copytree(bundle / name, folder / name)
            else:
                shutil.copyfile(bundle / program["file"], folder / program["file"])
        shutil.copyfile(bundle / MANIFEST, folder / MANIFEST)
        if (bundle / SIGNATURE).exists():
            shutil.copyfile(bundle / SIGNATURE, folder / SIGNATURE)
        if keras is not None:
            shutil.copyfile(keras, folder / KERAS)
        (folder / CARD).write_text(card, encoding="utf-8")


def model_card(manifest: Manifest, *, name: str, keras: bool) -> str:
    """Return a model card: metadata, then text.

    Args:
        manifest: the bundle's.
        name: the model's name on the Hub.
        keras: whether the folder holds the Keras model.
    """
    header = "\n".join(_yaml(_metadata(manifest, name, keras=keras)))
    sections = "\n\n".join(_sections(manifest, name, keras=keras))
    return f"---\n{header}\n---\n\n{sections}\n"


def _metadata(manifest: Manifest, name: str, *, keras: bool) -> dict[str, Any]:
    recipe = manifest.get("training", {}).get("recipe", {})
    identifier, title, split = _data(manifest["evaluation"]["data"])
    trained_on = _trained_on(manifest)
    metrics = [
        {"type": "accuracy", "value": entry["accuracy"], "name": f"accuracy of {entry['file']}"}
        for entry in manifest["artifacts"]
    ]
    result = {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {"type": identifier, "name": title, "split": split},
        "metrics": metrics,
    }
    formats = dict.fromkeys(entry["format"] for entry in manifest["artifacts"])
    return {
        # Of a model or images that came from elsewhere nobody here knows the licence.
        "license": "unknown" if recipe.get("data", "own") == "own" else "mit",
        "library_name": "edge-mnist",
        "pipeline_tag": "image-classification",
        "tags": ["edge-mnist", *formats, *(["keras"] if keras else [])],
        **({"datasets": [_DATA["mnist"][0]]} if trained_on == "mnist-train" else {}),
        "metrics": ["accuracy"],
        "model-index": [{"name": name, "results": [result]}],
    }


def _sections(manifest: Manifest, name: str, *, keras: bool) -> Iterator[str]:
    spec = spec_from_manifest(manifest)
    yield f"# {name}\n\n{_summary(manifest, spec)}"
    yield f"## Use\n\n{_use(name)}"
    yield f"## Accuracy\n\n{_accuracy(manifest)}"
    yield f"## Training data\n\n{_training(manifest)}"
    yield "## Limits\n\n" + "\n".join(f"- {limit}" for limit in _limits(manifest, spec))
    yield "## Files\n\n" + "\n".join(f"- {file}" for file in _files(manifest, keras=keras))


def _summary(manifest: Manifest, spec: ModelSpec) -> str:
    colour = "grey" if spec.channels == 1 else "colour"
    classes = "the digits 0 to 9" if spec.digits else f"{len(spec.labels)} classes"
    parameters = manifest["architecture"].get("parameters")
    size = f" It has {parameters:,} parameters." if parameters else ""
    listed = "" if spec.digits else f" The classes are: {', '.join(spec.labels)}."
    return (
        f"An image classifier for small devices such as a Raspberry Pi. It takes {colour} images "
        f"of {spec.height}×{spec.width} pixels and knows {classes}.{size}{listed}"
    )


def _use(name: str) -> str:
    return (
        f"Download this folder, and install [edge-mnist]({_address()}) with one runtime. It needs "
        f"numpy and Pillow, not TensorFlow. A picture may be a photograph, a scan or a drawing:\n\n"
        f"```python\n"
        f"from edge_mnist import Classifier\n\n"
        f"classifier = Classifier({json.dumps(name)})  # this folder\n"
        f'print(classifier.predict("picture.png"))\n'
        f"```"
    )


def _accuracy(manifest: Manifest) -> str:
    evaluation = manifest["evaluation"]
    _, title, split = _data(evaluation["data"])
    rows = [
        "| file | size (bytes) | accuracy | loads in |",
        "|---|---|---|---|",
        *map(_row, manifest["artifacts"]),
    ]
    keras = evaluation.get("keras_accuracy")
    compared = (
        "" if keras is None else f" The Keras model reads {percent(keras)} of them correctly."
    )
    return (
        f"Every file was run on the {evaluation['images']:,} images of `{evaluation['data']}` "
        f"({title}, {split} split).{compared}\n\n" + "\n".join(rows)
    )


def _row(entry: Mapping[str, Any]) -> str:
    runtimes = [f"{name} {oldest}" for name, oldest in entry["loads_in"].items() if oldest]
    shown = f"| `{entry['file']}` | {entry['size_bytes']:,} | {percent(entry['accuracy'])} "
    return f"{shown}| {', '.join(runtimes) or 'no measured release'} |"


def _training(manifest: Manifest) -> str:
    trained_on = _trained_on(manifest)
    if trained_on is None:
        return "Not stated: edge-mnist did not train this model."
    data, recipe = manifest["training"]["data"], manifest["training"]["recipe"]
    return (
        f"`{trained_on}`: {_data(trained_on)[1]}, {data['images']:,} images, SHA-256 "
        f"`{data['sha256']}`.\n\nArchitecture `{recipe['arch']}`, {recipe['epochs']} epochs, seed "
        f"{recipe['seed']}. `{MANIFEST}` has the whole recipe."
    )


def _limits(manifest: Manifest, spec: ModelSpec) -> Iterator[str]:
    trained_on, tested_on = _trained_on(manifest), manifest["evaluation"]["data"]
    if trained_on is not None and trained_on.startswith("synthetic-"):
        yield "**This model saw only drawn digits.** A program drew them; no person wrote them."
    if tested_on.startswith("synthetic-"):
        yield "The accuracy is that on drawn digits. On handwriting it was not measured."
    else:
        yield f"The accuracy is that on `{tested_on}`. Other images can be read less well."
    if spec.digits:
        yield "It reads single digits. A letter that looks like a digit is read as one."
    if spec.threshold:
        yield (
            f"Below a confidence of {spec.threshold:.3f} it gives no answer. Not every picture "
            f"without a digit is found in this way."
        )
    else:
        yield "It always answers with one of its classes, also for a picture of something else."
    yield "Do not use it where nobody checks the results."


def _files(manifest: Manifest, *, keras: bool) -> Iterator[str]:
    yield f"`{MANIFEST}`: size, SHA-256 and accuracy of every file, and how pixels are scaled."
    for entry in manifest["artifacts"]:
        known = entry["precision"] != "unknown"
        yield f"`{entry['file']}`: {entry['precision'] if known else 'as its author wrote it'}."
    if keras:
        yield f"`{KERAS}`: the Keras 3 model that the files were exported from."


def _trained_on(manifest: Manifest) -> str | None:
    name = manifest.get("training", {}).get("data", {}).get("name")
    return None if name is None else str(name)


def _data(name: str) -> tuple[str, str, str]:
    """Return a data set's identifier, its name for people, and the split."""
    kind, _, split = name.rpartition("-")
    return (*_DATA.get(kind, (kind, f"the user's own data {kind.removeprefix('own-')}")), split)


def _address() -> str:
    """Return the address of edge-mnist, as its distribution states it."""
    urls = metadata("edge-mnist").get_all("Project-URL") or ()
    return next(url.split(", ")[1] for url in urls if url.startswith("Homepage, "))


def _yaml(value: Any, indent: str = "") -> Iterator[str]:
    """Yield the lines of a mapping or a list; a scalar is written as JSON, which YAML reads."""
    items = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in items:
        head = f"{indent}-" if key is None else f"{indent}{key}:"
        if isinstance(item, str) or not isinstance(item, Mapping | Sequence):
            yield f"{head} {json.dumps(item, ensure_ascii=False)}"
        elif key is None:
            first, *rest = _yaml(item, f"{indent}  ")
            yield f"{head} {first.lstrip()}"
            yield from rest
        else:
            yield head
            yield from _yaml(item, f"{indent}  ")
