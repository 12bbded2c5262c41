"""Which bundles are loaded: none but those of trusted keys, once there is one."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_mnist import BundleError, Classifier
from edge_mnist.bundle import (
    MANIFEST,
    MODELS,
    RELEASE_KEY,
    SIGNATURE,
    find_artifacts,
    key_folders,
    manifest,
    read_bundle,
)
from edge_mnist.bundle.minisign import parse_key_file, parse_signature
from edge_mnist_export.bundles.secret_key import SecretKey
from tests.conftest import REPOSITORY, SHIPPED, WHOLE
from tests.errors import raises
from tests.signatures.conftest import sign, write_public

TEACHER = REPOSITORY / "export" / "edge_mnist_export" / "training" / "teachers" / "accurate"
FOREIGN = WHOLE / "model-int8.tflite"


@pytest.mark.parametrize("folder", [SHIPPED.parent / name for name in MODELS] + [TEACHER])
def test_the_release_key_signed_what_ships(folder: Path) -> None:
    release = parse_key_file(Path(RELEASE_KEY).read_bytes())
    signature = folder / SIGNATURE
    assert signature.is_file() and parse_signature(signature.read_bytes()).verify(
        (folder / MANIFEST).read_bytes(), release
    ), f"sign again with the release key: edge-mnist sign {folder} --key KEY (CONTRIBUTING.md)"


@pytest.mark.usefixtures("keys")
def test_without_a_key_nothing_is_asked_for(signed: Path) -> None:
    (signed / SIGNATURE).write_text("rubbish")
    for folder in (signed, WHOLE):
        bundle = read_bundle(folder)
        assert bundle.signature is None
        assert not any(artifact.vouched for artifact in bundle.artifacts)
    assert all(artifact.vouched for artifact in find_artifacts())
    assert find_artifacts(SHIPPED / "model-int8.tflite")[0].vouched
    assert not find_artifacts(WHOLE / "model-int8.tflite")[0].vouched


def test_a_trusted_key_vouches(signed: Path, keys: Path, key: SecretKey) -> None:
    write_public(key, keys / "mine.pub")
    bundle = read_bundle(signed)
    assert bundle.signature is not None
    assert bundle.signature.key_id == key.public.key_id
    assert bundle.signature.trusted_comment.endswith("file:manifest.json\thashed")
    assert bundle.signature.timestamp
    assert all(artifact.vouched for artifact in bundle.artifacts)
    assert Classifier(signed).artifact.vouched
    assert find_artifacts(signed / "model-int8.tflite")[0].vouched


def test_once_a_key_is_trusted_others_are_refused(
    signed: Path, keys: Path, key: SecretKey, other: SecretKey
) -> None:
    write_public(other, keys / "other.pub")
    with raises("bundle-key", key.public.key_id, other.public.key_id, str(keys)):
        Classifier(signed)
    with raises("bundle-unsigned"):
        Classifier(WHOLE)
    with raises("bundle-key"):
        find_artifacts(signed / "model-int8.tflite")


def test_once_a_key_is_trusted_a_file_without_a_manifest_is_refused(
    keys: Path, key: SecretKey, tmp_path: Path, signed: Path
) -> None:
    for name in ("model-int8.tflite", "model-int8.onnx"):
        shutil.copy(WHOLE / name, tmp_path / name)
        assert find_artifacts(tmp_path / name)
    write_public(key, keys / "mine.pub")
    for name in ("model-int8.tflite", "model-int8.onnx"):
        with raises("bundle-unsigned", key.public.key_id):
            Classifier(tmp_path / name)
    shutil.copy(WHOLE / "model-int8.tflite", signed / "unlisted.tflite")
    with raises("bundle-unsigned"):
        Classifier(signed / "unlisted.tflite")


def test_shipped_bundles_need_the_release_key_and_no_other_bundle_gets_it(
    keys: Path, key: SecretKey, tmp_path: Path
) -> None:
    write_public(key, keys / "mine.pub")
    release = parse_key_file(Path(RELEASE_KEY).read_bytes())
    for name in MODELS:
        bundle = read_bundle(SHIPPED.parent / name)
        assert bundle.signature is not None
        assert bundle.signature.key_id == release.key_id
        assert find_artifacts(name)[0].vouched
    copy = tmp_path / "copy"
    shutil.copytree(SHIPPED, copy)
    with raises("bundle-key", release.key_id):
        read_bundle(copy)
    shutil.copy(RELEASE_KEY, keys)
    assert read_bundle(copy).artifacts[0].vouched


def test_a_changed_shipped_bundle_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: SecretKey, keys: Path
) -> None:
    shipped = tmp_path / "shipped"
    shutil.copytree(SHIPPED.parent, shipped)
    monkeypatch.setattr(manifest, "_SHIPPED", str(shipped))
    with (shipped / "edge" / MANIFEST).open("a") as file:
        file.write("\n")
    assert find_artifacts("edge")
    write_public(key, keys / "mine.pub")
    with raises("bundle-signature"):
        find_artifacts("edge")
    sign(shipped / "edge", key)  # A key of the user's is not the release key.
    with raises("bundle-key"):
        find_artifacts("edge")
    assert find_artifacts("nano")


def test_trust_replaces_the_folders(
    signed: Path, keys: Path, key: SecretKey, other: SecretKey, tmp_path: Path
) -> None:
    write_public(other, keys / "other.pub")
    mine = write_public(key, tmp_path / "mine.pub")
    folder = tmp_path / "more"
    folder.mkdir()
    write_public(key, folder / "mine.pub")
    text = key.public.text
    for trust in (mine, str(mine), folder, text, f" {text}\n", [text], (other.public.text, mine)):
        assert Classifier(signed, trust=trust).artifact.vouched
    with raises("bundle-key"):
        Classifier(signed, trust=other.public.text)
    assert not Classifier(WHOLE, trust=False).artifact.vouched


@pytest.mark.parametrize("trust", [[], (), "", " ", 5, True, [None], b"x", "missing.pub", "a\0b"])
def test_trust_without_a_key_is_an_error_even_for_what_ships(trust: Any) -> None:
    for model in (None, WHOLE, FOREIGN):
        with raises("bundle-trust"):
            Classifier(model, trust=trust)


def test_an_empty_folder_given_as_trust_is_an_error(keys: Path) -> None:
    with raises("bundle-trust"):
        Classifier(trust=keys)


def rsa(path: Path) -> None:
    path.write_text("untrusted comment: k\n" + "UlM" + "A" * 53 + "\n")


BAD_KEYS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_text(""),
    "rubbish": lambda path: path.write_bytes(os.urandom(100)),
    "another algorithm": rsa,
    "giant": lambda path: path.write_bytes(b"x" * 100_000),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_bad_key_in_the_folder_is_an_error(keys: Path, key: SecretKey, name: str) -> None:
    write_public(key, keys / "mine.pub")
    BAD_KEYS[name](keys / "bad.pub")
    for model in (None, WHOLE):
        with raises("bundle-trust", "bad.pub"):
            find_artifacts(model)


def test_a_folder_that_cannot_be_read_is_an_error(keys: Path) -> None:
    keys.rmdir()
    keys.symlink_to(keys)
    with raises("bundle-trust", str(keys)):
        find_artifacts()
    keys.unlink()
    keys.write_text("a file")
    with raises("bundle-trust", str(keys)):
        find_artifacts()


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="needs root")
def test_a_folder_of_another_user_is_an_error(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.parent.chmod(0o700)
    for folder in keys.parents:
        if folder.stat().st_mode & 0o005 != 0o005 and folder != keys.parent:
            monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
            break
    os.seteuid(65534)
    try:
        with raises("bundle-trust", "Permission denied"):
            find_artifacts()
    finally:
        os.seteuid(0)


def test_a_home_that_is_none_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    assert find_artifacts(WHOLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # Ignored, as its specification says.
    assert key_folders()[0] == "/dev/null/.config/edge-mnist/trusted"
    monkeypatch.setenv("HOME", "relative")
    assert key_folders() == ("/etc/edge-mnist/trusted",)


def swap_model(folder: Path) -> None:
    shutil.copy(SHIPPED.parent / "nano" / "model-int8.tflite", folder)


def edit_manifest(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    content["labels"] = list("1234567890")
    (folder / MANIFEST).write_text(json.dumps(content))


def signature_of_another(folder: Path) -> None:
    shutil.copy(SHIPPED / SIGNATURE, folder)


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "manifest": (edit_manifest, "bundle-signature"),
    "one space": (
        lambda f: (f / MANIFEST).write_text((f / MANIFEST).read_text() + " "),
        "bundle-signature",
    ),
    "lines of Windows": (
        lambda f: (f / MANIFEST).write_bytes((f / MANIFEST).read_bytes().replace(b"\n", b"\r\n")),
        "bundle-signature",
    ),
    "signature of another bundle": (signature_of_another, "bundle-key"),
    "no signature": (lambda f: (f / SIGNATURE).unlink(), "bundle-unsigned"),
    "empty signature": (lambda f: (f / SIGNATURE).write_text(""), "bundle-signature"),
    "cut signature": (lambda f: os.truncate(f / SIGNATURE, 200), "bundle-signature"),
    "giant signature": (lambda f: os.truncate(f / SIGNATURE, 10**12), "bundle-signature"),
    "folder": (lambda f: ((f / SIGNATURE).unlink(), (f / SIGNATURE).mkdir()), "bundle-signature"),
    "pipe": (lambda f: ((f / SIGNATURE).unlink(), os.mkfifo(f / SIGNATURE)), "bundle-signature"),
    "dangling link": (
        lambda f: ((f / SIGNATURE).unlink(), (f / SIGNATURE).symlink_to("nowhere")),
        "bundle-signature",
    ),
    "device": (
        lambda f: ((f / SIGNATURE).unlink(), (f / SIGNATURE).symlink_to("/dev/zero")),
        "bundle-signature",
    ),
    "broken manifest": (lambda f: (f / MANIFEST).write_text("{"), "bundle-signature"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "bundle-missing"),
    "model": (swap_model, "bundle-size"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_bundle_is_refused(signed: Path, key: SecretKey, name: str) -> None:
    change, code = TAMPERED[name]
    change(signed)
    with raises(code):
        Classifier(signed, backend="litert", precision="int8", trust=key.public.text)


def test_a_model_of_the_same_size_is_refused(signed: Path, key: SecretKey) -> None:
    file = signed / "model-int8.tflite"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with raises("bundle-hash"):
        Classifier(signed, backend="litert", precision="int8", trust=key.public.text)


def test_a_link_to_the_signature_is_followed(signed: Path, key: SecretKey, tmp_path: Path) -> None:
    (signed / SIGNATURE).rename(tmp_path / "signature")
    (signed / SIGNATURE).symlink_to(tmp_path / "signature")
    assert read_bundle(signed, trust=key.public.text).signature


def test_two_keys_of_one_number_are_both_tried(
    signed: Path, key: SecretKey, other: SecretKey
) -> None:
    twin = other._replace(id=key.id)
    assert read_bundle(signed, trust=[twin.public.text, key.public.text]).signature
    with raises("bundle-signature"):
        read_bundle(signed, trust=twin.public.text)


def test_the_bytes_that_are_verified_are_those_that_are_parsed(
    signed: Path, key: SecretKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    original = manifest._read_file

    def count(path: str) -> bytes:
        reads.append(path)
        content = original(path)
        edit_manifest(signed)  # Whoever swaps it now comes too late.
        return content

    monkeypatch.setattr(manifest, "_read_file", count)
    bundle = read_bundle(signed, trust=key.public.text)
    assert len(reads) == 1
    assert bundle.manifest["labels"] == list("0123456789")


def test_what_was_judged_stays_judged(signed: Path, key: SecretKey, keys: Path) -> None:
    classifier = Classifier(signed, trust=key.public.text, backend="litert", precision="int8")
    state = pickle.dumps(classifier)
    # Neither another manifest nor another signature matters any more; another model file does.
    edit_manifest(signed)
    (signed / SIGNATURE).unlink()
    copy = pickle.loads(state)
    assert copy.artifact.vouched
    assert copy.artifact.sha256 == classifier.artifact.sha256
    swap_model(signed)
    with pytest.raises(BundleError):
        pickle.loads(state)


COLD = "import sys, numpy; from edge_mnist import Classifier; before = set(sys.modules); "


def test_with_a_key_neither_openssl_nor_a_parser_is_imported(tmp_path: Path) -> None:
    code = (
        "sys.modules['cryptography'] = None; from edge_mnist import bundle; "
        "bundle.find_artifacts(trust=bundle.RELEASE_KEY)"
    )
    more = imported(code, tmp_path)
    assert {"edge_mnist.bundle.trust", "edge_mnist.bundle.ed25519"} <= more
    assert not more & {"hashlib", "_hashlib", "base64", "json", "pathlib"}


def imported(code: str, folder: Path, **env: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{COLD}{code}; print(*set(sys.modules) - before)"],
        env={**os.environ, "XDG_CONFIG_HOME": str(folder), **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_from_cold_without_a_key_nothing_is_imported_for_trust(tmp_path: Path) -> None:
    find = "from edge_mnist.bundle import find_artifacts; find_artifacts()"
    more = imported(find, tmp_path)
    assert more <= {"_json", "edge_mnist.system.quick_json"}
    assert not {name for name in more if "trust" in name or "25519" in name}
