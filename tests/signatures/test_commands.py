"""keygen, sign and verify, and --trust of the commands that load a model."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import pty
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_mnist.bundle import MANIFEST, SIGNATURE, read_bundle
from edge_mnist.bundle.minisign import parse_key_file
from edge_mnist.bundle.verification import verify
from edge_mnist.serve.models import ModelSource
from edge_mnist.serve.service import Service
from edge_mnist.serve.settings import Settings
from edge_mnist_export import export
from edge_mnist_export.bundles import hub_folder, secret_key, signing
from edge_mnist_export.bundles.secret_key import SecretKey
from tests.conftest import REPOSITORY, WHOLE, Cli
from tests.errors import assert_error, raises
from tests.signatures.conftest import write_public

ZERO = REPOSITORY / "examples" / "digits" / "0.png"
pytestmark = pytest.mark.usefixtures("keys")


@pytest.fixture
def secret(tmp_path: Path, host: Cli) -> Path:
    """A secret key without a password, of the command keygen; the public one lies beside it."""
    host("keygen", "--no-password", "--out", tmp_path / "mine")
    return tmp_path / "mine.key"


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    folder = tmp_path / "unsigned"
    shutil.copytree(WHOLE, folder)
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with programs: an HTML page, and listed as of C a file in a folder."""
    folder = tmp_path_factory.mktemp("programs") / "bundle"
    export("edge", formats=["html"], out=folder, quiet=True)
    (folder / "c").mkdir()
    (folder / "c" / "model.c").write_text("int x;\n")
    manifest = json.loads((folder / MANIFEST).read_text())
    digest = hashlib.sha256(b"int x;\n").hexdigest()
    program = {"format": "c", "folder": "c", "sha256": {"model.c": digest}}
    manifest["programs"].append(program)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_a_key_that_cannot_be_written_whole_is_not_left_behind(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))  # The secret key is longer.
    try:
        with raises("output-key", str(tmp_path / "mine.key")):
            signing.make_key(tmp_path / "mine", password=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.glob("mine*"))


def test_keygen_writes_a_pair_and_never_over_another(tmp_path: Path, host: Cli) -> None:
    done = host("keygen", "--no-password", cwd=tmp_path)
    secret, public = tmp_path / "edge-mnist.key", tmp_path / "edge-mnist.pub"
    assert secret.stat().st_mode & 0o777 == 0o600
    key = secret_key.read(secret).open()
    assert parse_key_file(public.read_bytes()) == key.public
    assert key.public.key_id in done.stdout
    assert secret.read_text().splitlines()[1] not in done.stdout + done.stderr
    before = secret.read_bytes()
    for present, absent in ((secret, public), (public, secret)):
        moved = absent.rename(tmp_path / "moved")
        assert_error(host("keygen", "--no-password", cwd=tmp_path, status=2), "output-exists")
        assert present.exists() and not absent.exists()
        moved.rename(absent)
    assert secret.read_bytes() == before
    assert_error(
        host("keygen", "--no-password", "--out", tmp_path / "no" / "k", status=2),
        "output-unwritable",
    )


def test_a_password_comes_from_the_environment(
    tmp_path: Path, host: Cli, unsigned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # scrypt with 16 MiB instead of 1 GiB, which takes seconds.
    monkeypatch.setattr(SecretKey.files, "__kwdefaults__", {"memory": 1 << 24})
    monkeypatch.setenv("EDGE_MNIST_KEY_PASSWORD", "Wort")
    host("keygen", "--out", tmp_path / "mine")
    assert secret_key.read(tmp_path / "mine.key").encrypted
    host("sign", unsigned, "--key", tmp_path / "mine.key")
    monkeypatch.setenv("EDGE_MNIST_KEY_PASSWORD", "wort")
    command = ("sign", unsigned, "--key", tmp_path / "mine.key")
    assert_error(host(*command, status=2), "bundle-key-password")
    monkeypatch.delenv("EDGE_MNIST_KEY_PASSWORD")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert_error(host(*command, status=2), "bundle-key-password", "EDGE_MNIST_KEY_PASSWORD")
    assert_error(host("keygen", "--out", tmp_path / "k", status=2), "bundle-key-password")
    assert not (tmp_path / "k.key").exists()
    assert_error(
        host("export", tmp_path / "none", "--sign", tmp_path / "mine.key", status=2),
        "bundle-key-password",
    )


def test_a_password_is_asked_for_on_a_terminal(tmp_path: Path, key: SecretKey) -> None:
    """In a process of its own, whose terminal is a pty."""
    secret = tmp_path / "mine.key"
    secret.write_text(key.files("Wort", memory=1 << 24)[0])
    code = (
        "from pathlib import Path; from edge_mnist_export.bundles.signing import open_key; "
        f"print(open_key(Path({str(secret)!r})))"
    )
    parent, child = pty.openpty()
    with os.fdopen(child, "rb") as terminal:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True,
        )  # fmt: skip
    seen = b""
    with contextlib.suppress(OSError):  # EIO when the child ends.
        while chunk := os.read(parent, 1000):
            seen += chunk
            if b"Password of" in seen and b"SecretKey" not in seen and not seen.endswith(b"\n"):
                os.write(parent, b"Wort\n")
    os.close(parent)
    assert process.wait() == 0, seen
    assert f"SecretKey({key.public.key_id})".encode() in seen
    assert b"Wort" not in seen


def test_sign_and_verify(unsigned: Path, secret: Path, host: Cli) -> None:
    public, key_id = secret.with_suffix(".pub"), secret_key.read(secret).open().public.key_id
    assert key_id in host("sign", unsigned, "--key", secret).stdout
    shown = host("verify", unsigned, "--trust", public).stdout
    assert shown.startswith(f"verified: {unsigned}\nsigned by: {key_id}\ncomment: timestamp:")
    assert shown.count("as signed") == 5
    host("sign", unsigned, "--key", secret, "--comment", "Küche, version 2")
    document = json.loads(host("verify", unsigned, "--trust", public, "--json").stdout)
    assert document["verified"] is True
    assert document["problem"] is None
    assert document["claimed_key"] == document["signature"]["key_id"] == key_id
    stated = document["signature"]
    assert stated["trusted_comment"] == f"timestamp:{stated['timestamp']}\tKüche, version 2"
    assert len(document["files"]) == 5
    assert all(file["problem"] is None for file in document["files"])


def test_hashes_that_fit_are_not_called_signed(
    unsigned: Path, secret: Path, keys: Path, host: Cli, other: SecretKey
) -> None:
    done = host("verify", unsigned, status=1)
    assert_error(done, "bundle-unsigned")
    assert done.stdout.startswith("NOT VERIFIED")
    assert "signed by: nobody" in done.stdout
    assert "for which nobody vouches" in done.stdout
    assert "as signed" not in done.stdout
    # Signed, but no key is trusted.
    host("sign", unsigned, "--key", secret)
    key_id = secret_key.read(secret).open().public.key_id
    done = host("verify", unsigned, status=1)
    assert_error(done, "bundle-key", key_id, str(keys), "there is none")
    assert f"signed by: {key_id}, which you do not trust" in done.stdout
    assert "comment" not in done.stdout  # It is not signed by anybody who is trusted.
    document = json.loads(host("verify", unsigned, "--json", status=1).stdout)
    assert (document["verified"], document["signature"]) == (False, None)
    assert document["claimed_key"] == key_id
    # Another key is trusted.
    write_public(other, keys / "other.pub")
    assert_error(host("verify", unsigned, status=1), "bundle-key", other.public.key_id)
    shutil.copy(secret.with_suffix(".pub"), keys)
    host("verify", unsigned)
    with (unsigned / MANIFEST).open("a") as file:
        file.write("\n")
    done = host("verify", unsigned, status=1)
    assert_error(done, "bundle-signature")
    assert "the signature is wrong" in done.stdout


def test_verify_of_what_ships(host: Cli) -> None:
    for name in ("edge", "nano"):
        assert "signed by: F259E3E666EFBABE" in host("verify", name).stdout
    assert_error(host("verify", "missing", status=2), "bundle-missing")
    assert_error(host("verify", "edge", "--trust", "", status=2), "bundle-trust")


WRONG: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "another model": (
        lambda f: f.joinpath("model-int8.tflite").write_bytes(b"x" * 24914),
        "model-int8.tflite",
        "another SHA-256",
    ),
    "longer model": (
        lambda f: f.joinpath("model-int8.tflite").write_bytes(b""),
        "model-int8.tflite",
        "0 bytes instead of 24,914",
    ),
    "no model": (
        lambda f: f.joinpath("model-int8.tflite").unlink(),
        "model-int8.tflite",
        "missing",
    ),
    "page": (lambda f: f.joinpath("digit.html").unlink(), "digit.html", "missing"),
    "source": (lambda f: f.joinpath("c/model.c").write_text("int y;\n"), "c/model.c", "SHA-256"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_every_listed_file_is_checked(
    page: Path, secret: Path, host: Cli, tmp_path: Path, name: str
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(page, bundle)
    host("sign", bundle, "--key", secret)
    public = secret.with_suffix(".pub")
    host("verify", bundle, "--trust", public)
    change, file, problem = WRONG[name]
    change(bundle)
    done = host("verify", bundle, "--trust", public, status=1)
    assert_error(done, "gate-verify")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(file))
    assert problem in line
    if name != "no model":
        assert_error(host("sign", bundle, "--key", secret, status=2), "bundle-incomplete", file)


@pytest.mark.parametrize(
    "programs",
    [
        [{"folder": "..", "sha256": {"x": "0"}}],
        [{"folder": "c", "sha256": {"../../x": "0"}}],
        [{"file": "/etc/passwd", "size_bytes": 1, "sha256": "0"}],
        [{"file": "a\nb", "size_bytes": 1, "sha256": "0"}],
        [{"file": "x"}],
        [5],
        5,
    ],
)
def test_a_manifest_names_files_of_its_own_folder_only(unsigned: Path, programs: Any) -> None:
    content = json.loads((unsigned / MANIFEST).read_text())
    (unsigned / MANIFEST).write_text(json.dumps({**content, "programs": programs}))
    with raises("bundle-manifest"):
        verify(str(unsigned))


@pytest.mark.parametrize("comment", ["two\nlines", "x" * 2000, "\x1b[31m"])
def test_a_comment_is_one_line(unsigned: Path, secret: Path, host: Cli, comment: str) -> None:
    done = host("sign", unsigned, "--key", secret, "--comment", comment, status=2)
    assert_error(done, "bundle-comment")


def test_sign_refuses_what_is_no_bundle(tmp_path: Path, secret: Path, host: Cli) -> None:
    assert_error(host("sign", tmp_path, "--key", secret, status=2), "bundle-missing")
    assert_error(host("sign", WHOLE, "--key", WHOLE / MANIFEST, status=2), "bundle-secret-key")


def test_an_export_can_be_signed_and_its_copy_for_the_hub_is(
    tmp_path: Path, secret: Path, keys: Path, other: SecretKey
) -> None:
    write_public(other, keys / "other.pub")  # What is made here is not asked for another key.
    bundle = export(
        "edge", formats=["html"], out=tmp_path / "b", hf=tmp_path / "hub", sign=secret, quiet=True
    )
    public = secret.with_suffix(".pub")
    assert bundle.signature == read_bundle(tmp_path / "b", trust=public).signature
    for folder in ("b", "hub"):
        assert verify(str(tmp_path / folder), trust=str(public)).verified
    unsigned = export("edge", formats=["html"], out=tmp_path / "c", quiet=True)
    assert unsigned.signature is None
    hub_folder.write(Path(unsigned.folder), tmp_path / "hub2")
    assert not (tmp_path / "hub2" / SIGNATURE).exists()


def test_a_key_is_checked_before_the_work_begins(tmp_path: Path, key: SecretKey) -> None:
    for path in (tmp_path / "missing.key", write_public(key, tmp_path / "public.key")):
        with raises("bundle-secret-key"):
            export(tmp_path / "no model either", sign=path)


def test_every_command_that_loads_a_model_takes_trust(
    unsigned: Path, secret: Path, host: Cli, tmp_path: Path, other: SecretKey
) -> None:
    host("sign", unsigned, "--key", secret)
    public = secret.with_suffix(".pub")
    commands = {
        "predict": (ZERO, "--model", unsigned),
        "evaluate": (unsigned, "--data", "synthetic"),
        "benchmark": (unsigned, "--quick"),
        "inspect": (unsigned,),
        "report": (unsigned, "--out", tmp_path / "r.html"),
        "camera": (ZERO.parent, "--model", unsigned),
        "serve": ("--model", unsigned, "--port", "0"),
    }
    for name, arguments in commands.items():
        done = host(name, *arguments, "--trust", other.public.text, status=2)
        assert_error(done, "bundle-key", other.public.key_id)
    assert "0 (" in host("predict", *commands["predict"], "--trust", public).stdout
    several = ("--trust", other.public.text, "--trust", public)
    assert "0 (" in host("predict", *commands["predict"], *several).stdout
    shown = host("inspect", unsigned, "--trust", public, "--json").stdout
    assert len(json.loads(shown)["layers"]) > 3
    # The worker processes take the decision over, whatever keys the folders hold.
    done = host("benchmark", unsigned, "--runs", "10", "--backend", "litert", "--trust", public)
    assert "model-int8.tflite" in done.stdout


def test_a_foreign_file_can_be_bundled_where_a_key_is_trusted(
    keys: Path, other: SecretKey, tmp_path: Path
) -> None:
    from edge_mnist_export.bundles import foreign_bundle

    write_public(other, keys / "other.pub")
    shutil.copy(WHOLE / "model-int8.tflite", tmp_path / "foreign.tflite")
    assert foreign_bundle.find(tmp_path / "foreign.tflite")


def test_a_reload_keeps_the_old_model(
    unsigned: Path, secret: Path, keys: Path, host: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    host("sign", unsigned, "--key", secret)
    trust = (str(secret.with_suffix(".pub")),)
    service = Service(ModelSource(str(unsigned), trust=trust), Settings(log=False))
    before = service.models
    (unsigned / SIGNATURE).unlink()
    asyncio.run(service.reload())
    assert service.models is before
    assert "kept the models as they were: Expected a bundle that a trusted key signed" in (
        capsys.readouterr().err
    )
    host("sign", unsigned, "--key", secret)
    asyncio.run(service.reload())
    assert service.models is not before
