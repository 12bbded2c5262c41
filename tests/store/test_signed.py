"""Signed bundles in the store: whose they are, and that none is replaced by an older one."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from edge_mnist import Classifier
from edge_mnist.bundle import MANIFEST, SHIPPED, SIGNATURE
from edge_mnist.store import Store, install, rollback
from edge_mnist_export.bundles import secret_key
from edge_mnist_export.bundles.secret_key import SecretKey
from tests.conftest import Cli
from tests.errors import assert_error, raises
from tests.signatures.conftest import sign, write_public
from tests.store.conftest import tree, variant

KEY, OTHER = secret_key.generate(), secret_key.generate()


@pytest.fixture(autouse=True)
def nobody_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "edge-mnist" / "trusted"


def signed(folder: Path, number: int, *, time: int | None = None, key: SecretKey = KEY) -> Path:
    """Return a variant that was signed at a time, or without one."""
    manifest = (variant(folder, number) / MANIFEST).read_bytes()
    trusted = b"no time" if time is None else f"timestamp:{time}".encode()
    signature = key._private.sign(hashlib.blake2b(manifest).digest())
    lines = (
        b"untrusted comment: none",
        base64.b64encode(b"ED" + key.id + signature),
        b"trusted comment: " + trusted,
        base64.b64encode(key._private.sign(signature + trusted)),
    )
    (folder / SIGNATURE).write_bytes(b"\n".join(lines))
    return folder


def trust(folder: Path, key: SecretKey) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_public(key, folder / f"{key.public.key_id}.pub")


def test_a_signed_bundle_is_installed_with_its_signature(
    store: Store, tmp_path: Path, nobody_is_trusted: Path, cli: Cli
) -> None:
    trust(nobody_is_trusted, KEY)
    bundle = signed(tmp_path / "a", 1, time=1000)
    folder = install(bundle, store=store, backend="numpy").generation.folder
    assert (folder / SIGNATURE).read_bytes() == (bundle / SIGNATURE).read_bytes()
    assert Classifier("installed", backend="numpy").artifact.path.parent == folder
    (entry,) = json.loads(cli("installed", "--json").stdout)["generations"]
    assert entry["key_id"] == KEY.public.key_id and entry["error"] is None
    assert KEY.public.key_id in cli("installed").stdout


@pytest.mark.parametrize("bad", ["unsigned", "other key", "changed"])
def test_what_no_trusted_key_signed_leaves_the_store_as_it_was(
    store: Store, tmp_path: Path, nobody_is_trusted: Path, bad: str
) -> None:
    trust(nobody_is_trusted, KEY)
    install(signed(tmp_path / "good", 1, time=1000), store=store, backend="numpy")
    before = tree(store.folder)
    bundle = signed(tmp_path / "bad", 2, time=2000, key=OTHER if bad == "other key" else KEY)
    if bad == "unsigned":
        (bundle / SIGNATURE).unlink()
    if bad == "changed":
        with (bundle / "manifest.json").open("a") as file:
            file.write("\n")
    codes = {"unsigned": "bundle-unsigned", "other key": "bundle-key"}
    with raises(codes.get(bad, "bundle-signature")):
        install(bundle, store=store, backend="numpy", allow_downgrade=True)
    assert tree(store.folder) == before


def test_an_older_bundle_is_refused_unless_asked_for(
    store: Store, tmp_path: Path, nobody_is_trusted: Path, cli: Cli
) -> None:
    trust(nobody_is_trusted, KEY)
    for number, time in ((1, 2000), (2, 2000), (3, 3000)):
        bundle = signed(tmp_path / str(number), number, time=time)
        install(bundle, store=store, backend="numpy")
    before = tree(store.folder)
    older = signed(tmp_path / "older", 4, time=2999)
    done = cli("install", older, "--backend", "numpy", status=2)
    assert_error(done, "bundle-downgrade", "generation 3, which was signed at 1970-01-01 00:50:00")
    with raises("bundle-downgrade", "signed without a time"):
        install(signed(tmp_path / "no time", 5), store=store, backend="numpy")
    assert tree(store.folder) == before
    cli("install", older, "--backend", "numpy", "--allow-downgrade")
    assert rollback(store).number == 3


def test_without_a_trusted_key_nothing_is_older(store: Store, tmp_path: Path) -> None:
    """Anyone may write a time, and a user's own bundle may follow a signed one."""
    for number, time in ((1, 2000), (2, 1000)):
        bundle = signed(tmp_path / str(number), number, time=time)
        install(bundle, store=store, backend="numpy")
    install(variant(tmp_path / "unsigned", 3), store=store, backend="numpy")


def test_the_same_bundle_is_installed_again_when_it_has_been_signed(
    store: Store, tmp_path: Path, nobody_is_trusted: Path
) -> None:
    bundle = variant(tmp_path / "a", 1)
    first = install(bundle, store=store, backend="numpy").generation
    trust(nobody_is_trusted, KEY)
    with raises("bundle-unsigned"):
        Classifier("installed")
    sign(bundle, KEY)
    second = install(bundle, store=store, backend="numpy").generation
    assert second.sha256 == first.sha256 and second.folder != first.folder
    assert Classifier("installed", backend="numpy").artifact.path.parent == second.folder
    with raises("bundle-unsigned"):  # Nor does one go back to what may not be loaded.
        rollback(store)


def test_an_older_bundle_may_follow_one_whose_key_is_trusted_no_more(
    store: Store, tmp_path: Path, nobody_is_trusted: Path
) -> None:
    trust(nobody_is_trusted, KEY)
    install(signed(tmp_path / "a", 1, time=10**12), store=store, backend="numpy")
    (nobody_is_trusted / f"{KEY.public.key_id}.pub").unlink()
    trust(nobody_is_trusted, OTHER)
    install(signed(tmp_path / "b", 2, time=5, key=OTHER), store=store, backend="numpy")


def test_a_shipped_bundle_needs_a_trusted_key_and_is_named_by_its_own_folder(
    store: Store, nobody_is_trusted: Path
) -> None:
    trust(nobody_is_trusted, KEY)
    with raises("bundle-key", str(Path(SHIPPED)), KEY.public.key_id) as error:
        install("edge", store=store, backend="numpy")
    assert str(store.folder) not in str(error.value)
