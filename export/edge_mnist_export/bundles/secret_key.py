"""Secret keys as files of minisign: made, written, read, and used to sign.

A key file is a line of comment and a line of base64: algorithms, the salt and cost of scrypt, and
104 bytes that scrypt's output is added to if there is a password: the key's number, the seed, the
public key, and a BLAKE2b-256 of these, by which a wrong password is noticed.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from edge_mnist.bundle import MANIFEST
from edge_mnist.bundle.minisign import MAX_BYTES, PublicKey
from edge_mnist.errors import BundleError

_ALGORITHM, _HASH = b"Ed", b"B2"
_ENCRYPTED, _PLAIN = b"Sc", bytes(2)
_BYTES, _SEALED_BYTES = 158, 104
# libsodium's "sensitive" limits, which minisign takes: scrypt with N = 2^20 takes 1 GiB and 3 s.
_MEMORY = 1 << 30


class SecretKey(NamedTuple):
    """A secret key. Its repr shows only the number of the key."""

    id: bytes
    seed: bytes

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.id, self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SecretKey({self.public.key_id})"

    def sign(self, manifest: bytes, *, comment: str | None = None) -> str:
        """Return the signature file of a manifest's bytes.

        Args:
            manifest: what is signed.
            comment: one line that is signed too, after the time; None for minisign's.
        """
        stated = f"file:{MANIFEST}\thashed" if comment is None else comment
        trusted = f"timestamp:{int(time.time())}\t{stated}"
        signature = self._private.sign(hashlib.blake2b(manifest).digest())
        both = self._private.sign(signature + trusted.encode())
        return (
            f"untrusted comment: signature by edge-mnist with key {self.public.key_id}\n"
            f"{_base64(b'ED' + self.id + signature)}\n"
            f"trusted comment: {trusted}\n"
            f"{_base64(both)}\n"
        )

    def files(self, password: str | None, *, memory: int = _MEMORY) -> tuple[str, str]:
        """Return the text of the secret and of the public key file.

        Args:
            password: encrypts the secret key; None leaves it in plain text.
            memory: bytes that scrypt takes, a power of 2 from 16 MiB to 1 GiB.
        """
        operations = memory // 32
        public = self.public
        sealed, salt = self.id + self.seed + public.point, os.urandom(32)
        if password is None:
            kind, head, sealed = "secret key", _PLAIN + _HASH + bytes(48), sealed + bytes(32)
        else:
            kind, head = "encrypted secret key", _ENCRYPTED + _HASH + salt
            head += _cost(operations, memory)
            stream = _stream(password, salt, operations, memory)
            sealed = _xor(sealed + _checksum(sealed), stream)
        return (
            f"untrusted comment: minisign {kind}\n{_base64(_ALGORITHM + head + sealed)}\n",
            f"untrusted comment: minisign public key {public.key_id}\n{public.text}\n",
        )


def generate() -> SecretKey:
    """Return a new key."""
    return SecretKey(os.urandom(8), Ed25519PrivateKey.generate().private_bytes_raw())


class KeyFile(NamedTuple):
    """A secret key file that was read; `open` gives the key."""

    path: Path
    content: bytes

    @property
    def encrypted(self) -> bool:
        """Whether a password opens it."""
        return self.content[2:4] == _ENCRYPTED

    def open(self, password: str | None = None) -> SecretKey:
        """Return the key.

        Raises:
            BundleError: the password is wrong, or the file is damaged.
        """
        sealed = self.content[-_SEALED_BYTES:]
        if self.encrypted:
            operations, memory = (
                int.from_bytes(self.content[start : start + 8], "little") for start in (38, 46)
            )
            sealed = _xor(sealed, _stream(password or "", self.content[6:38], operations, memory))
        key = SecretKey(sealed[:8], sealed[8:40])
        # minisign writes no checksum where there is no password.
        checked = not self.encrypted or _checksum(sealed[:72]) == sealed[72:]
        if not checked or key.public.point != sealed[40:72]:
            got = "another one" if self.encrypted else "damaged content"
            raise BundleError(
                f"Expected the password of the key {self.path}, got {got}; enter it again, or set "
                f"EDGE_MNIST_KEY_PASSWORD.",
                code="bundle-key-password",
            )
        return key


def read(path: Path) -> KeyFile:
    """Return a secret key file.

    Raises:
        BundleError: it cannot be read, or is no secret key of minisign.
    """
    try:
        with path.open("rb") as file:
            lines = file.read(MAX_BYTES).splitlines()
        if len(lines) != 2:
            raise ValueError(f"{len(lines)} lines instead of 2")
        content = binascii.a2b_base64(lines[1].strip(), strict_mode=True)
        known = content[2:4] in (_ENCRYPTED, _PLAIN) and content[4:6] == _HASH
        if len(content) != _BYTES or content[:2] != _ALGORITHM or not known:
            raise ValueError("another kind of key")
        return KeyFile(path, content)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BundleError(
            f"Expected a secret key of minisign or edge-mnist keygen at {path}, got: {reason}; "
            f"name the .key file.",
            code="bundle-secret-key",
        ) from error


def _stream(password: str, salt: bytes, operations: int, memory: int) -> bytes:
    """Return scrypt's output, with the numbers that libsodium makes of its two limits."""
    operations = max(operations, 1 << 15)
    if operations < memory // 32:
        log_n, p = _log_n(operations // 32), 1
    else:
        log_n = _log_n(memory // 1024)
        p = min(operations // 4 >> log_n, 0x3FFFFFFF) // 8
    if log_n > 20:
        raise BundleError(
            f"Expected a key whose password takes 1 GiB of memory at most, got 2^{log_n - 20} GiB; "
            f"make another with: edge-mnist keygen",
            code="bundle-secret-key",
        )
    try:
        return Scrypt(salt, _SEALED_BYTES, n=1 << log_n, r=8, p=max(1, p)).derive(password.encode())
    except MemoryError as error:
        raise BundleError(
            f"Expected {1 << log_n >> 10} MiB of memory for a key's password, got less; use a "
            f"machine with more, or a key without a password.",
            code="bundle-secret-key",
        ) from error


def _log_n(most: int) -> int:
    """Return the least exponent from 1 whose power of 2 exceeds half of `most`."""
    return max(1, (most // 2).bit_length())


def _cost(operations: int, memory: int) -> bytes:
    return operations.to_bytes(8, "little") + memory.to_bytes(8, "little")


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(_ALGORITHM + content, digest_size=32).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _base64(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).decode()
