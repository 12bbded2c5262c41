"""The int8 `.tflite` file of a bundle in; programs that need no runtime, beside it, out.

The formats are `c`, a folder of C99 sources, and `html`, one page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist import datasets
from edge_mnist.bundle import Artifact, read_bundle
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.bundle.provenance import provenance
from edge_mnist.errors import ModelError
from edge_mnist.int8 import Graph, Unsupported, read_graph

from ..standalone import c_resources
from ..standalone.c_files import c_files, known_bytes
from ..standalone.html import html_page
from ..standalone.pixel_graph import pixel_graph
from ..verification import compiled_c
from . import bundle_writer
from .bundle_writer import BundleWriter

# Names in a bundle.
C_FOLDER, PAGE = "c", "digit.html"
# Images of the self-test in C.
_VECTORS = 8
# Images of noise, where a model has no data.
_NOISE = 1000
_Report = Callable[[str], None]


def add(
    bundle: BundleWriter,
    artifact: Artifact,
    names: Sequence[str],
    images: NDArray[np.uint8],
    *,
    title: str,
    report: _Report,
) -> list[dict[str, Any]]:
    """Write programs into a bundle's folder; the C one is compiled and compared first.

    Args:
        bundle: the bundle that is being written.
        artifact: its int8 `.tflite` file.
        names: "c", "html" or both.
        images: (n, …) uint8 of the model's size, on which the compiled program is compared.
        title: one line on the model.
        report: takes lines of progress.

    Returns:
        The manifest's `programs`.

    Raises:
        ModelError: an operator, or the scaling of pixels, is one that programs lack.
        GateError: the compiled program answers other bytes than the arithmetic.
    """
    spec = artifact.spec
    assert spec is not None
    graph = _read(artifact, names)
    entries: list[dict[str, Any]] = []
    if "c" in names:
        report(f"Writing {C_FOLDER}/")
        files = c_files(graph, spec, images=images[:_VECTORS], title=title)
        entries.append(
            {
                "format": "c",
                "folder": C_FOLDER,
                "sha256": bundle.add_texts(C_FOLDER, files),
                **known_bytes(graph, spec),
                **_cores(files, report),
                **compiled_c.verify(files, pixel_graph(graph, spec), images, report=report),
            }
        )
    if "html" in names:
        report(f"Writing {PAGE}")
        page = html_page(graph, spec, title=title)
        (digest,) = bundle.add_texts(".", {PAGE: page}).values()
        entry = {"format": "html", "file": PAGE, "size_bytes": len(page.encode())}
        entries.append({**entry, "sha256": digest})
    return entries


def _cores(files: Mapping[str, str], report: _Report) -> dict[str, Any]:
    """Return the manifest's field on flash, RAM and stack by core; report them as lines."""
    cores = c_resources.resources(files)
    if cores is None:
        report(f"Flash, RAM and stack are not measured: that needs {c_resources.INSTALL}")
        return {}
    for core, sizes in cores.items():
        report(
            f"{core}: {sizes['flash_bytes']:,} bytes of flash, {sizes['ram_bytes']:,} of RAM, "
            f"{sizes['stack_bytes']:,} of stack"
        )
    return {"cores": cores}


def model_images(images: NDArray[np.uint8] | None, spec: ModelSpec) -> NDArray[np.uint8]:
    """Return test images of the model's size; noise if there are none."""
    if images is None:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (_NOISE, *spec.shape), np.uint8)
    if images.ndim == 3 and images.shape[1:] != spec.shape:
        # Imported late: Pillow is needed only to resize.
        from edge_mnist.vision.preprocess import fit

        return fit(images, spec)
    return images.reshape(-1, *spec.shape)


def _read(artifact: Artifact, names: Sequence[str]) -> Graph:
    try:
        return read_graph(artifact.read())
    except Unsupported as error:
        raise ModelError(
            f"Expected operators that have an integer arithmetic for --format {','.join(names)}, "
            f"got {error} in {artifact.name}; replace that layer, or leave the format out.",
            code="model-program-operator",
        ) from error


def from_bundle(
    artifact: Artifact,
    names: Sequence[str],
    out: Path,
    *,
    source: datasets.Source | None,
    report: _Report,
) -> None:
    """Write a bundle of the int8 `.tflite` file of another one, with programs; no TensorFlow.

    Args:
        artifact: the int8 `.tflite` file, from `int8_artifact`.
        names: "c", "html" or both.
        out: the bundle folder, new or empty.
        source: the data whose test images compare the compiled program with the arithmetic.
        report: takes lines of progress.

    Raises:
        ModelError: programs cannot be made of it.
        GateError: the compiled program answers other bytes than the arithmetic.
        OutputError: `out` holds something, or cannot be written.
    """
    manifest = dict(read_bundle(artifact.path.parent, trust=False).manifest)
    assert artifact.spec is not None
    test = datasets.load(source, "test", shape=artifact.spec.size) if source else None
    with bundle_writer.new_bundle(out) as bundle:
        images = model_images(test.images if test else None, artifact.spec)
        copy = bundle.sign(
            artifact.name, artifact.read(), artifact.format, artifact.precision, artifact.spec
        )
        # Not the path of the bundle, which says nothing elsewhere.
        name = str(manifest.get("architecture", {}).get("name", "model"))
        title = provenance(artifact)._replace(bundle=name, ships=False).line
        manifest["programs"] = add(bundle, copy, names, images, title=title, report=report)
        manifest["artifacts"] = [
            entry for entry in manifest["artifacts"] if entry["file"] == artifact.name
        ]
        bundle.write(manifest)


def int8_artifact(artifacts: Sequence[Artifact]) -> Artifact:
    """Return the int8 `.tflite` file with a model spec.

    Raises:
        ModelError: there is none.
    """
    for artifact in artifacts:
        if artifact.format == "tflite" and artifact.precision == "int8" and artifact.spec:
            return artifact
    listed = ", ".join(artifact.name for artifact in artifacts)
    raise ModelError(
        f"Expected an int8 .tflite file in a bundle, of which programs are made, got {listed}; "
        f"export it with: edge-mnist export --int8",
        code="model-program-file",
    )
