"""A message, a signature and a public key in; whether they fit together out: Ed25519, RFC 8032.

Only verification, which handles no secret: this code does not run in constant time. It accepts
what libsodium 1.0.18 accepts, which is stricter than RFC 8032: every number is in its canonical
form, and neither the key nor the point R of a signature is one of the eight of small order.
"""

from __future__ import annotations

import sys

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)

# A point of the curve in extended coordinates: x = X/Z, y = Y/Z, x * y = T/Z.
_Point = tuple[int, int, int, int]
_NEUTRAL: _Point = (0, 1, 1, 0)


def verify(message: bytes, signature: bytes, key: bytes) -> bool:
    """Return whether the holder of a key signed a message.

    Args:
        message: what was signed.
        signature: 64 bytes: the point R, then the number S.
        key: the public key, 32 bytes.
    """
    if len(signature) != 64 or len(key) != 32:
        return False
    point_r, s = signature[:32], int.from_bytes(signature[32:], "little")
    r, a = _decode(point_r), _decode(key)
    if s >= _ORDER or r is None or a is None or _is_small(r) or _is_small(a):
        return False
    k = int.from_bytes(_sha512(point_r + key + message), "little") % _ORDER
    # S·B = R + k·A, as S·B + k·(-A) = R.
    x, y, z, _ = _sum_of_products(s, _BASE, k, (_P - a[0], a[1], a[2], _P - a[3]))
    return (x - r[0] * z) % _P == 0 and (y - r[1] * z) % _P == 0


def _decode(encoded: bytes) -> _Point | None:
    """Return the point of 32 bytes: y, and the lowest bit of x; None if there is none."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * v**3 * pow(u * v**7, (_P - 5) // 8, _P) % _P  # A square root of u/v, if it has one.
    if (v * x * x + u) % _P == 0:
        x = x * _SQRT_MINUS_1 % _P
    if (v * x * x - u) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _add(p: _Point, q: _Point) -> _Point:
    (x1, y1, z1, t1), (x2, y2, z2, t2) = p, q
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * _D * t1 * t2 % _P, 2 * z1 * z2
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(p: _Point) -> _Point:
    x, y, z, _ = p
    a, b = x * x % _P, y * y % _P
    h = a + b
    e, g = h - (x + y) ** 2, a - b
    f = 2 * z * z + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _is_small(p: _Point) -> bool:
    """Return whether the order of a point is 1, 2, 4 or 8."""
    return _double(_double(_double(p)))[0] == 0


def _sum_of_products(m: int, p: _Point, n: int, q: _Point) -> _Point:
    """Return m·P + n·Q, two bits of each number at a time."""
    rows = [_NEUTRAL, p, _double(p), _add(_double(p), p)]
    table = [rows, *([] for _ in range(3))]
    for index in range(1, 4):
        table[index] = [_add(other, q) for other in table[index - 1]]
    total = _NEUTRAL
    for shift in range(max(m.bit_length(), n.bit_length()) & ~1, -2, -2):
        total = _double(_double(total))
        both = table[n >> shift & 3][m >> shift & 3]
        if both is not _NEUTRAL:
            total = _add(total, both)
    return total


def _sha512(content: bytes) -> bytes:
    # As `manifest.sha256`: hashlib loads OpenSSL.
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha512
        else:
            from _sha512 import sha512  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha512
    return bytes(sha512(content).digest())


def _point(y: int) -> _Point:
    found = _decode(y.to_bytes(32, "little"))
    assert found is not None
    return found


_BASE = _point(4 * pow(5, -1, _P) % _P)
