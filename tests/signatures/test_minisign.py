"""Files of minisign: ours and those of Debian's minisign, both ways; and broken ones."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from edge_mnist.bundle import ed25519, minisign
from edge_mnist.bundle.minisign import parse_key, parse_key_file, parse_signature
from edge_mnist_export.bundles import secret_key
from edge_mnist_export.bundles.secret_key import SecretKey
from tests.errors import raises

MESSAGE = b'{"schema": 1}\n'
needs_minisign = pytest.mark.skipif(
    shutil.which("minisign") is None, reason="needs Debian's package minisign"
)


def run(folder: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        ["minisign", *arguments], cwd=folder, input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "manifest.json").write_bytes(MESSAGE)
    return tmp_path


def write(folder: Path, files: tuple[str, str]) -> None:
    for name, text in zip(("our.key", "our.pub"), files, strict=True):
        (folder / name).write_text(text)


@needs_minisign
@pytest.mark.parametrize("comment", [None, "Gerät 7\tküche"])
def test_minisign_verifies_ours(folder: Path, key: SecretKey, comment: str | None) -> None:
    write(folder, key.files(None))
    (folder / "manifest.json.minisig").write_text(key.sign(MESSAGE, comment=comment))
    answer = run(folder, "-V", "-p", "our.pub", "-m", "manifest.json")
    assert "Signature and comment signature verified" in answer
    assert (comment or "file:manifest.json\thashed") in answer


@needs_minisign
@pytest.mark.parametrize("password", [None, "ein Wort"])
def test_minisign_signs_with_our_key(folder: Path, key: SecretKey, password: str | None) -> None:
    write(folder, key.files(password, memory=1 << 24))
    run(folder, "-S", "-s", "our.key", "-m", "manifest.json", stdin=f"{password or ''}\n")
    parsed = parse_signature((folder / "manifest.json.minisig").read_bytes())
    assert parsed.key_id == key.public.key_id
    assert parsed.verify(MESSAGE, key.public)
    assert parsed.verified.trusted_comment.endswith("\tfile:manifest.json\thashed")
    assert secret_key.read(folder / "our.key").open(password) == key


@needs_minisign
@pytest.mark.parametrize("legacy", [False, True])
def test_we_verify_minisign_and_sign_with_its_key(folder: Path, legacy: bool) -> None:
    run(folder, "-G", "-W", "-p", "their.pub", "-s", "their.key")
    run(folder, "-S", *["-l"] * legacy, "-s", "their.key", "-m", "manifest.json", "-t", "theirs")
    public = parse_key_file((folder / "their.pub").read_bytes())
    content = (folder / "manifest.json.minisig").read_bytes()
    parsed = parse_signature(content)
    assert parsed.algorithm == (b"Ed" if legacy else b"ED")
    assert parsed.verify(MESSAGE, public)
    assert not parsed.verify(MESSAGE + b" ", public)
    assert parsed.verified == minisign.Signature(public.key_id, "theirs", None)
    # minisign 0.11 prints no leading zeros.
    assert (
        f"minisign public key {public.key_id.lstrip('0')}\n" in (folder / "their.pub").read_text()
    )

    theirs = secret_key.read(folder / "their.key")
    assert not theirs.encrypted
    assert theirs.open().public == public
    (folder / "manifest.json.minisig").write_text(theirs.open().sign(MESSAGE))
    run(folder, "-V", "-p", "their.pub", "-m", "manifest.json")


@needs_minisign
def test_we_open_a_key_that_minisign_encrypted(folder: Path) -> None:
    # With so little memory minisign takes a weaker scrypt than that of 1 GiB and 3 s.
    limited = ["prlimit", "--as=67108864", "minisign", "-G", "-p", "their.pub", "-s", "their.key"]
    subprocess.run(limited, cwd=folder, input=b"Wort\nWort\n", capture_output=True, check=True)
    theirs = secret_key.read(folder / "their.key")
    assert theirs.encrypted
    public = parse_key_file((folder / "their.pub").read_bytes())
    assert theirs.open("Wort").public == public


def test_a_signature_of_our_own_is_verified(key: SecretKey, other: SecretKey) -> None:
    parsed = parse_signature(key.sign(MESSAGE).encode())
    assert parsed.verify(MESSAGE, key.public)
    assert not parsed.verify(MESSAGE, other.public)
    assert not parsed.verify(MESSAGE[:-1], key.public)
    assert isinstance(parsed.verified.timestamp, int)


def test_the_trusted_comment_is_signed_too(key: SecretKey) -> None:
    text = key.sign(MESSAGE, comment="version 2")
    changed = parse_signature(text.replace("version 2", "version 3").encode())
    assert not changed.verify(MESSAGE, key.public)
    # The untrusted one is not.
    free = text.replace("signature by edge-mnist", "whatever")
    assert parse_signature(free.encode()).verify(MESSAGE, key.public)


def test_a_signature_is_not_one_of_the_hash_of_another_kind(key: SecretKey) -> None:
    lines = key.sign(MESSAGE).splitlines()
    legacy = base64.b64encode(b"Ed" + base64.b64decode(lines[1])[2:]).decode()
    text = "\n".join([lines[0], legacy, *lines[2:]])
    assert not parse_signature(text.encode()).verify(MESSAGE, key.public)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_the_ends_of_lines_may_be_those_of_windows(key: SecretKey, end: str) -> None:
    lines = key.sign(MESSAGE).splitlines()
    text = "\r\n".join(lines) + end
    assert parse_signature(text.encode()).verify(MESSAGE, key.public)


def test_where_cryptography_is_installed_it_has_to_agree(
    key: SecretKey, other: SecretKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = parse_signature(key.sign(MESSAGE).encode())
    # A mistake of our own, which cryptography finds.
    monkeypatch.setattr(ed25519, "verify", lambda message, signature, key: True)
    assert parsed.verify(MESSAGE, key.public)
    assert not parsed.verify(MESSAGE, other.public)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    assert parsed.verify(MESSAGE, other.public)  # Without it, it is not asked.


def test_a_mutated_signature_is_refused_or_says_the_same(key: SecretKey) -> None:
    random = Random(0)
    sound = key.sign(MESSAGE).encode()
    before = parse_signature(sound)
    for _ in range(400):
        content = bytearray(sound)
        for _ in range(random.randint(1, 3)):
            content[random.randrange(len(content))] = random.randrange(256)
        try:
            parsed = parse_signature(bytes(content))
        except ValueError:
            continue
        # Of the untrusted comment nothing is kept. The key's ID is not signed.
        assert parsed._replace(id=before.id) == before or not parsed.verify(MESSAGE, key.public)


BROKEN = {
    "empty": lambda text: "",
    "one line": lambda text: text.splitlines()[0],
    "three lines": lambda text: "\n".join(text.splitlines()[:3]),
    "five lines": lambda text: text + "more\n",
    "no comment": lambda text: text.replace("untrusted comment: ", ""),
    "no trusted comment": lambda text: text.replace("\ntrusted comment: ", "\n"),
    "another algorithm": lambda text: text.replace("\nRUQ", "\nRVh").replace("\nRUR", "\nRVh"),
    "no base64": lambda text: text.replace("\nRU", "\n!!"),
    "short": lambda text: text.replace("==\n", "\n"),
    "giant": lambda text: text.replace("timestamp", "t" * 20000),
    "spaces": lambda text: text.replace("\nRU", "\n RU"),
    "not UTF-8": lambda text: text.replace("timestamp", "\udcff"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_signature_file_is_refused(key: SecretKey, name: str) -> None:
    text = key.sign(MESSAGE)
    if name == "another algorithm":
        lines = text.splitlines()
        lines[1] = base64.b64encode(b"EX" + base64.b64decode(lines[1])[2:]).decode()
        broken = "\n".join(lines)
    else:
        broken = BROKEN[name](text)
    with pytest.raises(ValueError):
        parse_signature(broken.encode(errors="surrogateescape"))


def test_a_key_of_another_algorithm_is_refused(key: SecretKey) -> None:
    text = base64.b64encode(b"RS" + bytes(40)).decode()
    with pytest.raises(ValueError, match="another algorithm"):
        parse_key(text)
    for broken in (key.public.text[:-4], key.public.text + "AAAA", "", "x"):
        with pytest.raises(ValueError):
            parse_key(broken)
    assert parse_key(key.public.text) == key.public


@pytest.mark.parametrize(
    ("comment", "timestamp"),
    [
        ("timestamp:17\tfile:manifest.json\thashed", 17),
        ("version 2\ttimestamp:18", 18),
        ("no timestamp:17", None),
        ("timestamp:", None),
        ("timestamp:-1", None),
        ("timestamp:²", None),
        ("timestamp:" + "9" * 400, None),
    ],
)
def test_the_timestamp_is_a_field_of_the_comment(comment: str, timestamp: int | None) -> None:
    parsed = minisign.SignatureFile(b"ED", b"12345678", b"", comment.encode(), b"")
    assert parsed.verified == ("3837363534333231", comment, timestamp)


def test_a_wrong_password_is_noticed(tmp_path: Path, key: SecretKey) -> None:
    write(tmp_path, key.files("right", memory=1 << 24))
    file = secret_key.read(tmp_path / "our.key")
    with raises("bundle-key-password"):
        file.open("wrong")
    assert file.open("right") == key
    assert key.seed.hex() not in repr(key)


@pytest.mark.parametrize("content", ["", "one\n", "a\nb\n", "a\n" + "RWRTY0Iy" * 20 + "\n"])
def test_another_file_is_no_secret_key(tmp_path: Path, content: str) -> None:
    (tmp_path / "our.key").write_text(content)
    with raises("bundle-secret-key"):
        secret_key.read(tmp_path / "our.key")


def test_a_public_key_is_no_secret_key(tmp_path: Path, key: SecretKey) -> None:
    write(tmp_path, key.files(None))
    with raises("bundle-secret-key"):
        secret_key.read(tmp_path / "our.pub")
    with raises("bundle-secret-key"):
        secret_key.read(tmp_path / "missing.key")
