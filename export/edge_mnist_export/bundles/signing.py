"""A bundle and a secret key in, the bundle's signature beside its manifest out."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from edge_mnist.bundle import MANIFEST, SIGNATURE, read_bundle
from edge_mnist.bundle.verification import check_files
from edge_mnist.errors import BundleError, OutputError
from edge_mnist.system.files import check_writable, write_atomically

from . import secret_key
from .secret_key import SecretKey

# minisign reads no longer comment.
_MAX_COMMENT = 1000
PASSWORD = "EDGE_MNIST_KEY_PASSWORD"


def open_key(path: Path) -> SecretKey:
    """Return a secret key; its password comes from the environment, or is asked for.

    Raises:
        BundleError: the file is no secret key, or the password is wrong or missing.
    """
    file = secret_key.read(path)
    if not file.encrypted:
        return file.open()
    password = os.environ.get(PASSWORD)
    if password is None:
        password = _ask(f"Password of {path}: ", path)
    return file.open(password)


def new_password(path: Path) -> str:
    """Return the password for a new key, from the environment or typed twice.

    Raises:
        BundleError: there is no terminal, or the two differ.
    """
    password = os.environ.get(PASSWORD)
    if password is not None:
        return password
    password = _ask("New password: ", path)
    if _ask("The same again: ", path) != password:
        raise BundleError(
            "Expected the same password twice, got two; try again.", code="bundle-key-password"
        )
    return password


def make_key(name: Path, *, password: str | None) -> SecretKey:
    """Make a key; write NAME.key, which only its owner may read, and NAME.pub.

    Raises:
        OutputError: one of both exists, or cannot be written.
    """
    key = secret_key.generate()
    files = key_paths(name)
    check_new(name)
    texts = key.files(password)
    written: list[Path] = []
    try:
        for path, text, mode in zip(files, texts, (0o600, 0o644), strict=True):
            # Exclusive: a key that was there is never lost, whoever writes at the same time.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(path)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
    except OSError as error:
        for half in written:
            half.unlink(missing_ok=True)
        raise OutputError(
            f"Expected to write the new file {path}, got: {error.strerror}; choose another with "
            f"--out.",
            code="output-key",
        ) from error
    return key


def key_paths(name: Path) -> tuple[Path, Path]:
    """Return the paths of the secret and the public key of a name."""
    return name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")


def check_new(name: Path) -> None:
    """Check, before a password is asked for, that there is no key of that name, and can be one.

    Raises:
        OutputError: there is, or it cannot be written.
    """
    for path in key_paths(name):
        if os.path.lexists(path):
            raise OutputError(
                f"Expected a name for a new key, got {name}, whose {path.name} exists; choose "
                f"another with --out.",
                code="output-exists",
            )
        check_writable(path)


def sign(bundle: Path, key: SecretKey, *, comment: str | None = None) -> Path:
    """Sign a bundle's manifest, after a check of every file that it lists.

    Args:
        bundle: the bundle's folder.
        key: the secret key.
        comment: one line for the trusted comment, after the time; None for minisign's.

    Returns:
        The signature file.

    Raises:
        BundleError: it is no bundle, a file is not the one that the manifest lists, or the comment
            is more than a line.
        OutputError: the signature cannot be written.
    """
    plain = (comment or "").replace("\t", " ")
    if not plain.isprintable() or len(plain.encode()) > _MAX_COMMENT:
        raise BundleError(
            f"Expected one line of at most {_MAX_COMMENT} bytes as the comment, got "
            f"{comment!r:.80}; shorten it.",
            code="bundle-comment",
        )
    manifest = read_bundle(bundle, trust=False).manifest
    wrong = [file for file in check_files(str(bundle), manifest) if file.problem]
    if wrong:
        raise BundleError(
            f"Expected a whole bundle to sign, got {bundle} with {wrong[0].file}: "
            f"{wrong[0].problem}; copy or export it again.",
            code="bundle-incomplete",
        )
    place = bundle / SIGNATURE
    write_atomically(place, key.sign((bundle / MANIFEST).read_bytes(), comment=comment))
    return place


def _ask(prompt: str, path: Path) -> str:
    if not sys.stdin.isatty():
        raise BundleError(
            f"Expected a password for the key {path}, got no terminal to ask for it; set "
            f"{PASSWORD}.",
            code="bundle-key-password",
        )
    return getpass.getpass(prompt)
