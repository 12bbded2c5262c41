"""A model file of a bundle in; what other programs take instead of a bundle, beside it, out.

Made of the int8 `.tflite` file: `c`, a folder of C99 sources, and `html`, one page. Made of an
`.onnx` file: `triton`, a model repository.
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
from edge_mnist.bundle.verification import EXAMPLES
from edge_mnist.errors import ModelError
from edge_mnist.int8 import Graph, Unsupported, read_graph
from edge_mnist.store.copying import listed

from ..standalone import c_resources
from ..standalone.c_files import c_files, known_bytes
from ..standalone.html import html_page
from ..standalone.pixel_graph import pixel_graph
from ..verification import compiled_c
from . import bundle_writer, triton
from .bundle_writer import BundleWriter

# Names in a bundle.
C_FOLDER, PAGE, TRITON = "c", "digit.html", "triton"
# Images of the self-test in C.
_VECTORS = 8
# Images of noise, where a model has no data.
_NOISE = 1000
_Report = Callable[[str], None]


def add(
    bundle: BundleWriter,
    sources: Mapping[str, Artifact],
    images: NDArray[np.uint8],
    *,
    name: str,
    title: str,
    report: _Report,
) -> list[dict[str, Any]]:
    """Write programs into a bundle's folder; the C one is compiled and compared first.

    Args:
        bundle: the bundle that is being written.
        sources: by the program's format, the file of the bundle that it is made of.
        images: (n, …) uint8 of the model's size, on which the compiled program is compared.
        name: the model's name.
        title: one line on the model.
        report: takes lines of progress.

    Returns:
        The manifest's `programs`.

    Raises:
        ModelError: an operator, or the scaling of pixels, is one that programs lack.
        GateError: the compiled program answers other bytes than the arithmetic.
    """
    entries: list[dict[str, Any]] = []
    if names := [format for format in sources if format != TRITON]:
        entries += _without_runtime(bundle, sources[names[0]], names, images, title, report)
    if TRITON in sources:
        entries.append(_model_repository(bundle, sources[TRITON], triton.model_name(name), report))
    return entries


def _model_repository(
    bundle: BundleWriter, artifact: Artifact, name: str, report: _Report
) -> dict[str, Any]:
    report(f"Writing {TRITON}/{name}/ from {artifact.name}")
    files = triton.repository(artifact, name)
    return {
        "format": TRITON,
        "folder": TRITON,
        "model": name,
        "source": artifact.name,
        "sha256": bundle.add_files(TRITON, files),
    }


def _without_runtime(
    bundle: BundleWriter,
    artifact: Artifact,
    names: Sequence[str],
    images: NDArray[np.uint8],
    title: str,
    report: _Report,
) -> list[dict[str, Any]]:
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
                "sha256": bundle.add_files(C_FOLDER, files),
                **known_bytes(graph, spec),
                **_cores(files, report),
                **compiled_c.verify(files, pixel_graph(graph, spec), images, report=report),
            }
        )
    if "html" in names:
        report(f"Writing {PAGE}")
        page = html_page(graph, spec, title=title)
        (digest,) = bundle.add_files(".", {PAGE: page}).values()
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
    sources: Mapping[str, Artifact],
    out: Path,
    *,
    data: datasets.Source | None,
    report: _Report,
) -> None:
    """Write a bundle of files of another one, with programs made of them; no TensorFlow.

    Args:
        sources: by the program's format, the file that it is made of, from `required_sources`.
        out: the bundle folder, new or empty.
        data: the data whose test images compare the compiled program with the arithmetic.
        report: takes lines of progress.

    Raises:
        ModelError: programs cannot be made of it.
        GateError: the compiled program answers other bytes than the arithmetic.
        OutputError: `out` holds something, or cannot be written.
    """
    first, *_ = sources.values()
    found = read_bundle(first.path.parent, trust=False)
    manifest = dict(found.manifest)
    assert first.spec is not None
    test = datasets.load(data, "test", shape=first.spec.size) if data else None
    names = {artifact.name for artifact in sources.values()}
    kept = {*names, manifest.get(EXAMPLES, {}).get("file")}
    with bundle_writer.new_bundle(out) as bundle:
        images = model_images(test.images if test else None, first.spec)
        for file in listed(found):
            if file.path.parent == found.folder and file.name in kept:
                (bundle.folder / file.name).write_bytes(file.read())
        # Not the path of the bundle, which says nothing elsewhere.
        name = str(manifest.get("architecture", {}).get("name", "model"))
        title = provenance(first)._replace(bundle=name, ships=False).line
        manifest["programs"] = add(bundle, sources, images, name=name, title=title, report=report)
        manifest["artifacts"] = [entry for entry in manifest["artifacts"] if entry["file"] in names]
        bundle.write(manifest)


def find_sources(artifacts: Sequence[Artifact], formats: Sequence[str]) -> dict[str, Artifact]:
    """Return, by the program's format, the file that it is made of; nothing where there is none.

    A model repository takes the int8 file, which holds pixels as they are and is the smallest. A
    file that is not of an export of ours is left out: in Triton, ONNX Runtime has other options,
    under which int8 weights of other tools saturate on some processors.
    """
    tflite = _first(artifacts, "tflite", ("int8",))
    onnx = _first(artifacts, "onnx", ("int8", "float32"))
    found = {format: onnx if format == TRITON else tflite for format in formats}
    return {format: artifact for format, artifact in found.items() if artifact}


def _first(
    artifacts: Sequence[Artifact], format: str, precisions: Sequence[str]
) -> Artifact | None:
    known = {(one.format, one.precision): one for one in artifacts if one.spec}
    return next((known[format, p] for p in precisions if (format, p) in known), None)


def required_sources(artifacts: Sequence[Artifact], formats: Sequence[str]) -> dict[str, Artifact]:
    """Return the same as `find_sources`, complete.

    Raises:
        ModelError: there is no file that a format can be made of.
    """
    sources = find_sources(artifacts, formats)
    listed = ", ".join(artifact.name for artifact in artifacts)
    if {"c", "html"} & {*formats} - {*sources}:
        raise ModelError(
            f"Expected an int8 .tflite file in a bundle, of which programs are made, got {listed}; "
            f"export it with: edge-mnist export --int8",
            code="model-program-file",
        )
    if {TRITON} & {*formats} - {*sources}:
        raise ModelError(
            f"Expected an int8 or float32 .onnx file in a bundle, of which a model repository is "
            f"made, got {listed}; export it with: edge-mnist export",
            code="model-program-file",
        )
    return sources
