"""Examples: an install demands exactly the answers that the bundle states."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist.bundle import MANIFEST, find_artifacts, read_bundle, sha256
from edge_mnist.store import Store, copying, install
from edge_mnist.store.check import check
from edge_mnist.store.examples import read_examples
from edge_mnist_export.bundles import examples as host_examples
from tests.errors import raises
from tests.store.conftest import EDGE, NANO, tree, variant


def arrays(**changed: Any) -> dict[str, Any]:
    with np.load(NANO / "examples.npz") as found:
        return {**found, **changed}


def with_examples(folder: Path, content: bytes, **entry: Any) -> Path:
    """Return a copy of `nano` with other examples."""
    variant(folder, 1)
    (folder / "examples.npz").write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["examples"] |= {"size_bytes": len(content), "sha256": sha256(content), **entry}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def npz(**found: Any) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **found)
    return content.getvalue()


@pytest.mark.parametrize("bundle", [EDGE, NANO])
def test_a_shipped_bundle_answers_its_examples_in_every_runtime(bundle: Path) -> None:
    checked = check(copying.verify(bundle))
    assert checked.examples == 20 and not checked.refused
    assert {backend for _, backend in checked.loaded} >= {"numpy", "litert", "onnx"}
    manifest = read_bundle(bundle).manifest
    assert manifest["examples"]["data"] == "synthetic-test"
    assert manifest["examples"]["accuracy"] >= 0.97


def test_the_same_files_get_the_same_bytes(store: Store) -> None:
    artifacts = find_artifacts(NANO)
    contents = [host_examples.to_bytes(host_examples.choose(artifacts)) for _ in range(2)]
    assert contents[0] == contents[1]
    found = read_examples(read_bundle(NANO))
    assert found is not None
    assert np.bincount(found.answers).tolist() == [2] * 10


def test_another_answer_leaves_the_store_as_it_was(store: Store, tmp_path: Path) -> None:
    install(NANO, store=store)
    before = tree(store.folder)
    other = arrays()
    other["answers"] = np.where(np.arange(20) == 7, 1 - other["answers"] % 2, other["answers"])
    other["answers"] = other["answers"].astype("<i4")
    accuracy = float(np.mean(other["answers"] == other["labels"]))
    bundle = with_examples(tmp_path / "bundle", npz(**other), accuracy=accuracy)
    with raises("gate-examples", "got 1 other"):
        install(bundle, store=store)
    assert tree(store.folder) == before


def test_a_bundle_without_examples_is_installed(store: Store, tmp_path: Path) -> None:
    variant(tmp_path / "bundle", 1)
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    del manifest["examples"]
    (tmp_path / "bundle" / MANIFEST).write_text(json.dumps(manifest))
    checked = install(tmp_path / "bundle", store=store, backend="numpy").checked
    assert checked is not None and checked.examples is None


def stored(name: str, content: bytes) -> bytes:
    """Return an archive of one file beside the arrays of `nano`."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for key, array in arrays().items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array)
            writer.writestr(f"{key}.npy", content if key == name else member.getvalue())
    return archive.getvalue()


def huge_header() -> bytes:
    member = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 28, 28)}
    np.lib.format.write_array_header_1_0(member, header)
    return member.getvalue()


def pickled() -> bytes:
    member = io.BytesIO()
    np.lib.format.write_array(member, np.array([{}, set()]), allow_pickle=True)
    return member.getvalue()


BAD = {
    "no archive": (b"PK\3\4 nothing", {}),
    "an array is missing": (npz(images=arrays()["images"]), {}),
    "more images than stated": (npz(**arrays()), {"images": 19}),
    "no images": (npz(**arrays()), {"images": 0}),
    "too many images": (npz(**arrays()), {"images": 10**9}),
    "another accuracy": (npz(**arrays()), {"accuracy": 0.5}),
    "an accuracy in words": (npz(**arrays()), {"accuracy": "all"}),
    "another dtype": (npz(**arrays(answers=np.zeros(20))), {}),
    "an answer that no output is": (npz(**arrays(answers=np.full(20, 10, "<i4"))), {}),
    "another size": (npz(**arrays(images=np.zeros((20, 32, 32), np.uint8))), {}),
    "a huge array": (stored("images", huge_header()), {}),
    "objects": (stored("answers", pickled()), {}),
    "too few bytes": (stored("images", arrays()["images"].tobytes()[:1000]), {}),
}


@pytest.mark.parametrize("bad", BAD)
def test_examples_that_are_not_what_is_stated_are_refused(
    store: Store, tmp_path: Path, bad: str
) -> None:
    content, entry = BAD[bad]
    bundle = with_examples(tmp_path / "bundle", content, **entry)
    with raises("bundle-examples"):
        install(bundle, store=store, backend="numpy")
    assert store.current() is None
