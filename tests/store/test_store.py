"""`install`, `rollback` and `installed`: a bundle is current as a whole, or the old one stays."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge_mnist import Classifier
from edge_mnist.bundle import MANIFEST, find_artifacts, sha256
from edge_mnist.bundle.installed import VARIABLE, store_folder
from edge_mnist.bundle.provenance import provenance
from edge_mnist.store import Store, copying, install, rollback
from tests.conftest import REPOSITORY, Cli
from tests.errors import assert_error, raises
from tests.store.conftest import EDGE, NANO, numbers, tree, variant


def test_the_installed_bundle_is_a_copy_under_the_hash_of_its_manifest(store: Store) -> None:
    generation, checked = install("edge", store=store)
    manifest = (EDGE / MANIFEST).read_bytes()
    assert generation.folder.name == sha256(manifest) == generation.sha256
    assert {path.name for path in generation.folder.iterdir()} == {p.name for p in EDGE.iterdir()}
    for path in generation.folder.iterdir():
        assert path.read_bytes() == (EDGE / path.name).read_bytes()
        assert not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o444
    assert checked and {file for file, _ in checked.loaded} == {
        "model-int8.tflite",
        "model-int8.onnx",
    }
    classifier = Classifier("installed")
    assert classifier.artifact.path.parent == generation.folder
    origin = provenance(classifier.artifact)
    assert origin.bundle == f"installed {generation.sha256[:12]}"
    assert origin.manifest_sha256 == generation.sha256


def test_what_is_current_already_is_not_installed_again(store: Store) -> None:
    first = install(NANO, store=store).generation
    before = tree(store.folder)
    again = install(NANO, store=store)
    assert again == (first, None) and tree(store.folder) == before


def test_a_damaged_current_version_is_replaced_by_installing_it_again(store: Store) -> None:
    first = install(NANO, store=store).generation
    model = first.folder / "model-int8.tflite"
    model.unlink()
    model.write_bytes(b"damaged")
    with raises("bundle-size"):
        Classifier("installed")
    second = install(NANO, store=store).generation
    assert second.folder != first.folder and second.sha256 == first.sha256
    assert Classifier("installed").predict(np.zeros((28, 28), np.uint8)).digit is None
    with raises("bundle-size"):  # Nobody goes back to a damaged one.
        rollback(store)
    assert store.current() == second


def test_rollback_goes_back_one_by_one_and_to_any_that_is_kept(
    store: Store, tmp_path: Path
) -> None:
    versions = [variant(tmp_path / str(n), n) for n in range(3)]
    generations = [install(version, store=store).generation for version in versions]
    assert [rollback(store), rollback(store)] == generations[1::-1]
    with raises("bundle-generation-oldest", "before 1"):
        rollback(store)
    assert rollback(store, to=3) == generations[2] == store.current()
    with raises("bundle-generation", "1, 2, 3", "got 7"):
        rollback(store, to=7)
    assert Classifier("installed").artifact.path.parent == generations[2].folder


def test_an_install_after_a_rollback_drops_what_was_rolled_back(
    store: Store, tmp_path: Path
) -> None:
    versions = [variant(tmp_path / str(n), n) for n in range(3)]
    first, second = (install(version, store=store).generation for version in versions[:2])
    rollback(store)
    third = install(versions[2], store=store).generation
    assert numbers(store) == [1, 3] and third.number == 3
    assert not second.folder.exists()
    assert rollback(store) == first


def test_the_newest_generations_stay_and_no_version_without_one(
    store: Store, tmp_path: Path
) -> None:
    for number in range(7):
        install(variant(tmp_path / str(number), number), store=store, keep=3)
    assert numbers(store) == [5, 6, 7] and len(list(store.versions.iterdir())) == 3
    install(variant(tmp_path / "last", 9), store=store, keep=1)
    assert numbers(store) == [8] and len(list(store.versions.iterdir())) == 1


def test_two_generations_may_share_a_version(store: Store) -> None:
    first = install(NANO, store=store).generation
    install(EDGE, store=store)
    third = install(NANO, store=store, keep=2).generation
    assert third.folder == first.folder and numbers(store) == [2, 3]
    assert Classifier("installed").artifact.path.parent == first.folder


def test_what_a_killed_install_left_goes_with_the_next(store: Store) -> None:
    install(NANO, store=store)
    clean = tree(store.folder)
    for name in ("incoming", "outgoing", "versions/0123"):
        shutil.copytree(EDGE, store.folder / name)
    (store.folder / "current.new").symlink_to("generations/9")
    install(NANO, store=store)
    assert tree(store.folder) == clean


@pytest.mark.parametrize("damage", ["hash", "size", "missing", "manifest", "unloadable", "labels"])
def test_a_bad_bundle_leaves_the_store_as_it_was(store: Store, tmp_path: Path, damage: str) -> None:
    install(NANO, store=store)
    before = tree(store.folder)
    bad = variant(tmp_path / "bad", 1)
    manifest = json.loads((bad / MANIFEST).read_text())
    model = bad / "model-int8.tflite"
    content = bytearray(model.read_bytes())
    content[5000] ^= 1
    if damage == "hash":
        model.write_bytes(content)
    elif damage == "size":
        model.write_bytes(content + b"x")
    elif damage == "missing":
        model.unlink()
    elif damage == "manifest":
        (bad / MANIFEST).write_text("{")
    elif damage == "labels":
        manifest["labels"] = ["a", "b"]
        del manifest["examples"]
    else:
        for entry in manifest["artifacts"]:
            (bad / entry["file"]).write_bytes(b"TFL3")
            entry |= {"size_bytes": 4, "sha256": sha256(b"TFL3")}
    if damage in ("labels", "unloadable"):
        (bad / MANIFEST).write_text(json.dumps(manifest))
    codes = {
        "missing": "bundle-file-missing",
        "manifest": "bundle-manifest",
        "unloadable": "model-malformed",
        "labels": "model-labels",
    }
    with raises(codes.get(damage, f"bundle-{damage}")):
        install(bad, store=store)
    assert tree(store.folder) == before


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "c/../../secret", ""])
def test_a_manifest_names_files_of_its_own_folder_only(
    store: Store, tmp_path: Path, name: str
) -> None:
    bad = variant(tmp_path / "bad", 1)
    manifest = json.loads((bad / MANIFEST).read_text())
    manifest["programs"] = [{"format": "html", "file": name, "size_bytes": 0, "sha256": ""}]
    (bad / MANIFEST).write_text(json.dumps(manifest))
    with raises("bundle-manifest"):
        install(bad, store=store)
    assert not store.current()


def test_programs_are_copied_and_checked(store: Store, tmp_path: Path) -> None:
    bundle = variant(tmp_path / "bundle", 1)
    (bundle / "c" / "src").mkdir(parents=True)
    (bundle / "c" / "src" / "digit.c").write_bytes(b"int x;")
    manifest = json.loads((bundle / MANIFEST).read_text())
    hashes = {"src/digit.c": sha256(b"int x;")}
    manifest["programs"] = [{"format": "c", "folder": "c", "sha256": hashes}]
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    folder = install(bundle, store=store).generation.folder
    assert (folder / "c" / "src" / "digit.c").read_bytes() == b"int x;"
    (bundle / "c" / "src" / "digit.c").write_bytes(b"int y;")
    with raises("bundle-hash"):
        copying.verify(bundle)


def test_a_file_without_a_manifest_is_not_installed(store: Store, tmp_path: Path) -> None:
    foreign = shutil.copy(NANO / "model-int8.tflite", tmp_path)
    with raises("bundle-no-manifest"):
        install(foreign, store=store)


def test_the_name_installed_needs_a_bundle_and_a_local_path_wins(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raises("bundle-not-installed", str(store.folder)):
        Classifier("installed")
    with raises("bundle-not-installed", str(store.folder)):
        rollback(store)
    install(NANO, store=store)
    shutil.copytree(EDGE, tmp_path / "installed")
    monkeypatch.chdir(tmp_path)
    assert find_artifacts("installed")[0].path.parent == Path("installed")


def test_the_store_lies_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert store_folder() == f"{tmp_path}/.local/share/edge-mnist/store"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # Must be ignored.
    assert store_folder() == f"{tmp_path}/.local/share/edge-mnist/store"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert store_folder() == "/data/edge-mnist/store"
    monkeypatch.setenv(VARIABLE, "/elsewhere")
    assert store_folder() == "/elsewhere"


def test_a_loaded_classifier_stays_with_its_version(store: Store) -> None:
    install(NANO, store=store)
    classifier = Classifier("installed")
    packed = pickle.dumps(classifier)
    install(EDGE, store=store)
    assert pickle.loads(packed).artifact == classifier.artifact
    assert Classifier("installed").artifact != classifier.artifact


def test_readers_never_get_a_mixture_nor_an_error_while_installs_go_on(
    store: Store, tmp_path: Path
) -> None:
    """With one generation kept, every install deletes the version that was current before."""
    versions = [variant(tmp_path / str(n), n) for n in range(2)]
    install(versions[0], store=store, keep=1)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edge_mnist.store import Store, install\n"
        "print(flush=True)\n"
        "for number in range(1, 21):\n"
        "    install(sys.argv[number % 2 + 1], store=Store(), keep=1, backend='numpy')\n"
    )
    command = [sys.executable, "-c", program, *map(str, versions)]
    reads = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as writer:
        assert writer.stdout and writer.stdout.readline()
        while writer.poll() is None:
            artifacts = find_artifacts("installed")
            assert len({artifact.path.parent for artifact in artifacts}) == 1
            reads += 1
    assert writer.returncode == 0 and reads > 10


def test_two_installs_at_once_both_end_well(store: Store, cli: Cli) -> None:
    with ThreadPoolExecutor(2) as threads:
        done = list(
            threads.map(lambda name: cli("install", name, "--backend", "numpy"), ["edge", "nano"])
        )
    assert numbers(store) == [1, 2]
    assert sorted(one.stdout.splitlines()[-1].split()[1] for one in done) == ["1", "2"]
    assert {g.sha256 for g in store.generations()} == {
        sha256((folder / MANIFEST).read_bytes()) for folder in (EDGE, NANO)
    }
    for generation in store.generations():
        copying.verify(generation.folder)


def test_the_commands_say_what_is_current(store: Store, cli: Cli) -> None:
    assert cli("installed").stdout == f"Nothing is installed in {store.folder}\n"
    done = cli("install", "nano", "--backend", "numpy")
    version = sha256((NANO / MANIFEST).read_bytes())
    line = f"installed {version[:12]}, trained on mnist-train, 99.46 % on mnist-test"
    assert done.stdout.splitlines()[0] == "Loaded model-int8.tflite in numpy"
    assert done.stdout.splitlines()[-1] == f"Generation 1 is current: {line}"
    again = cli("install", "nano")
    assert again.stdout == f"Nothing to do: generation 1 is current: {line}\n"
    assert_error(cli("rollback", status=2), "bundle-generation-oldest")
    listed = json.loads(cli("installed", "--json").stdout)
    assert listed["current"] == 1
    (entry,) = listed["generations"]
    assert (entry["manifest_sha256"], entry["model"]) == (version, "nano")
    assert (entry["accuracy"], entry["accuracy_data"]) == (0.9946, "mnist-test")
    (store.versions / version / MANIFEST).unlink()
    assert "unusable" in cli("installed").stdout


def test_a_full_disk_is_one_line(store: Store, tmp_path: Path) -> None:
    install(NANO, store=store)
    before = tree(store.folder)
    huge = variant(tmp_path / "huge", 1)
    with (huge / "model-int8.onnx").open("r+b") as file:
        file.truncate(1 << 43)  # sparse
    with raises("output-store-room", str(store.folder)):
        install(huge, store=store)
    assert tree(store.folder) == before


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").write_text("")
    done = cli("install", "nano", "--store", tmp_path / "file" / "store", status=2)
    assert_error(done, "output-store")
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208
