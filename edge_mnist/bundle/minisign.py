"""Public keys and signatures as files of minisign: text in, checked values out.

The format is that of https://jedisct1.github.io/minisign/: a line of comment and a line of base64.
A signature file has another such pair, the trusted comment and the signature that covers it too.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

from . import ed25519

# Bytes of the longest file that is read; minisign's comments have 1,024 and 8,192 at most.
MAX_BYTES = 16384
_UNTRUSTED, _TRUSTED = b"untrusted comment: ", b"trusted comment: "
# Algorithms: Ed25519 of the file itself, and of its BLAKE2b-512.
_LEGACY, _PREHASHED = b"Ed", b"ED"
_ID_BYTES, _KEY_BYTES, _SIGNATURE_BYTES = 8, 32, 64


class PublicKey(NamedTuple):
    """A public key, and the number by which a signature names it."""

    id: bytes
    point: bytes

    @property
    def key_id(self) -> str:
        """The number as minisign prints it: 16 hexadecimal digits."""
        return _printed(self.id)

    @property
    def text(self) -> str:
        """The key as its file has it: 56 characters of base64."""
        return binascii.b2a_base64(_LEGACY + self.id + self.point, newline=False).decode()


class Signature(NamedTuple):
    """A signature that was verified.

    Attributes:
        key_id: the key, as minisign prints it: 16 hexadecimal digits.
        trusted_comment: the comment that the signature covers.
        timestamp: the seconds since 1970 that the comment states; None without.
    """

    key_id: str
    trusted_comment: str
    timestamp: int | None


class SignatureFile(NamedTuple):
    """A signature file that was parsed, and says nothing until `verify` has returned True."""

    algorithm: bytes
    id: bytes
    signature: bytes
    trusted_comment: bytes
    global_signature: bytes

    @property
    def key_id(self) -> str:
        """The key that it claims to be made with, as minisign prints it."""
        return _printed(self.id)

    def verify(self, message: bytes, key: PublicKey) -> bool:
        """Return whether the holder of `key` signed the message and the trusted comment."""
        digest = message if self.algorithm == _LEGACY else _blake2b(message)
        commented = self.signature + self.trusted_comment
        return _is_signed(digest, self.signature, key.point) and _is_signed(
            commented, self.global_signature, key.point
        )

    @property
    def verified(self) -> Signature:
        """What it says; for a caller whom `verify` told that it is signed."""
        comment = self.trusted_comment.decode()
        return Signature(self.key_id, comment, _timestamp(comment))


def parse_key(text: str) -> PublicKey:
    """Return the key of a line of base64.

    Raises:
        ValueError: it is none of Ed25519.
    """
    content = _decoded(text.encode(), 2 + _ID_BYTES + _KEY_BYTES)
    if content[:2] != _LEGACY:
        raise ValueError(f"a key of another algorithm than {_LEGACY.decode()}")
    return PublicKey(content[2 : 2 + _ID_BYTES], content[2 + _ID_BYTES :])


def parse_key_file(content: bytes) -> PublicKey:
    """Return the key of a `.pub` file.

    Raises:
        ValueError: it is no such file.
    """
    comment, key = _lines(content, 2)
    _without(_UNTRUSTED.rstrip(), comment)
    return parse_key(key.decode())


def parse_signature(content: bytes) -> SignatureFile:
    """Return the fields of a signature file.

    Raises:
        ValueError: it is no such file.
    """
    comment, signature, trusted, last = _lines(content, 4)
    _without(_UNTRUSTED, comment)
    decoded = _decoded(signature, 2 + _ID_BYTES + _SIGNATURE_BYTES)
    if decoded[:2] not in (_LEGACY, _PREHASHED):
        raise ValueError("a signature of another algorithm than Ed25519")
    return SignatureFile(
        decoded[:2],
        decoded[2 : 2 + _ID_BYTES],
        decoded[2 + _ID_BYTES :],
        _without(_TRUSTED, trusted),
        _decoded(last, _SIGNATURE_BYTES),
    )


def _lines(content: bytes, count: int) -> list[bytes]:
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes")
    content.decode()  # UnicodeDecodeError is a ValueError.
    lines = [line.rstrip(b"\r") for line in content.rstrip(b"\r\n").split(b"\n")]
    if len(lines) != count:
        raise ValueError(f"{len(lines) if content else 0} lines instead of {count}")
    return lines


def _without(prefix: bytes, line: bytes) -> bytes:
    if not line.startswith(prefix):
        raise ValueError(f"a line without {prefix.decode().strip()!r}")
    return line[len(prefix) :]


def _decoded(line: bytes, count: int) -> bytes:
    """Return the bytes of a line of base64. binascii.Error is a ValueError."""
    content = binascii.a2b_base64(line, strict_mode=True)
    if len(content) != count:
        raise ValueError(f"{len(content)} bytes of base64 instead of {count}")
    return content


def _printed(id: bytes) -> str:
    return f"{int.from_bytes(id, 'little'):016X}"


def _timestamp(comment: str) -> int | None:
    """Return the number of a field `timestamp:N`; fields are separated by tabs."""
    for field in comment.split("\t"):
        name, _, number = field.partition(":")
        if name == "timestamp" and number.isascii() and number.isdigit() and len(number) < 16:
            return int(number)
    return None


def _is_signed(message: bytes, signature: bytes, point: bytes) -> bool:
    """Return whether a signature fits; where `cryptography` is installed, both have to say so."""
    if not ed25519.verify(message, signature, point):
        return False
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return True
    try:
        Ed25519PublicKey.from_public_bytes(point).verify(signature, message)
    except UnsupportedAlgorithm:  # An OpenSSL without Ed25519, as in FIPS mode.
        return True
    except InvalidSignature:
        return False
    return True


def _blake2b(content: bytes) -> bytes:
    # As `manifest.sha256`: hashlib loads OpenSSL.
    try:
        from _blake2 import blake2b
    except ImportError:
        from hashlib import blake2b
    return bytes(blake2b(content).digest())
