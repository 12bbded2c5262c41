"""Mutate files: their bytes, or fields of flatbuffers, protocol buffers, JSON and pictures.

All choices come from the generator that is passed in, so that a seed repeats its files.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# Values at which counts, offsets and sizes go wrong: signs, widths, 0, and large numbers.
NUMBERS = (0, 1, 2, 3, 7, 8, 28, 127, 128, 255, 256, 4096, 65535, 65536, 10**6, 2**30, 2**31 - 1)
NUMBERS += (2**31, 2**32 - 1, 2**32 - 2, 2**32 - 100, 2**33, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
# As float32: infinity, the least and the largest normal number, 1, and -1.
NUMBERS += (0x7F800000, 0x00800000, 0x7F7FFFFF, 0x3F800000, 0xBF800000)
# Longer runs of bytes are weights. They are left alone, because any weights are valid.
_WEIGHTS = 256
# Bytes of a picture's header.
_HEADER = 60

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]


def mutate(kind: str, content: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Return `content` changed in one to four places: bytes, or fields of the format `kind`."""
    ways = [_flip, _overwrite, _truncate, _insert, _splice]
    own: Mutation | None = {
        "tflite": _flatbuffer,
        "onnx": _protobuf,
        "json": _json,
        "picture": _header,
    }.get(kind)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        # Most files of random bytes are refused at once, so three in four mutations change fields.
        way = own if own and random.random() < 0.75 else random.choice(ways)
        content = way(content, random, others)
    return content


def _flip(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start, length = random.randrange(len(content) + 1), random.choice((1, 2, 4, 8, 32, 400))
    fill = random.choice((b"\0", b"\xff", b"\x7f", b"\x80", b""))
    run = fill * length if fill else random.randbytes(length)
    return content[:start] + run + content[start + length :]


def _truncate(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _insert(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start = random.randrange(len(content) + 1)
    return content[:start] + random.randbytes(random.choice((1, 3, 4, 16, 300))) + content[start:]


def _splice(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Copy a piece of this file, or of another one, to another place."""
    source = random.choice(others) if others and random.random() < 0.5 else content
    start, length = random.randrange(len(source) + 1), random.choice((4, 16, 64, 1000))
    piece, at = source[start : start + length], random.randrange(len(content) + 1)
    return content[:at] + piece + content[at + random.choice((0, len(piece))) :]


def _flatbuffer(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Change one aligned number, outside of the long vectors of bytes that are the weights."""
    places = _places(content)
    if not places:
        return _flip(content, random, others)
    at = random.choice(places)
    (old,) = struct.unpack_from("<I", content, at)
    changed = bytearray(content)
    if random.random() < 0.25:
        changed[at + random.randrange(4)] = random.choice((0, 1, 2, 3, 9, 25, 127, 128, 255))
    elif random.random() < 0.2:
        other = random.choice(places)
        changed[at : at + 4] = content[other : other + 4]
    else:
        near = (old + random.choice((-8, -4, -2, -1, 1, 2, 4, 8, 64)), old * 2, len(content) - at)
        value = random.choice((*near, *NUMBERS))
        struct.pack_into("<I", changed, at, value & (2**32 - 1))
    return bytes(changed)


def _places(content: bytes) -> list[int]:
    """Return the offsets of aligned numbers that are not within a long run of dense bytes."""
    places, at = [], 0
    while at + 4 <= len(content):
        (length,) = struct.unpack_from("<I", content, at)
        places.append(at)
        at += 4
        # A vector's length is followed by that many bytes: weights have few zeros among them.
        if _WEIGHTS < length <= len(content) - at:
            run = content[at : at + length]
            if run.count(0) < length // 4:
                at += length & ~3
    return places


def _protobuf(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Change a field anywhere in the tree of messages, and adjust every length around it."""
    fields = _parsed(content)
    if not fields:
        return _flip(content, random, others)
    at = random.randrange(len(fields))
    number, wire, value = fields[at]
    inner = wire == 2 and len(value) > 1 and _parsed(value)
    if inner and random.random() < 0.9:
        fields[at] = (number, wire, _protobuf(value, random, others))
    else:
        _change(fields, at, random)
    return b"".join(varint(n << 3 | w) + _wired(w, v) for n, w, v in fields)


def _change(fields: list[tuple[int, int, Any]], at: int, random: Random) -> None:
    number, wire, value = fields[at]
    way = random.randrange(6)
    if way == 0:
        del fields[at]
    elif way == 1:
        fields.insert(random.randrange(len(fields) + 1), fields[at])
    elif way == 2:
        fields[at] = (random.randrange(1, 26), wire, value)
    elif wire == 0:
        near = (value + 1, value - 1, random.randrange(25))
        fields[at] = (number, wire, random.choice((*near, *NUMBERS)) % 2**64)
    elif wire == 2 and way == 3:
        fields[at] = (number, wire, random.choice(fields)[2] if random.random() < 0.5 else b"")
        if not isinstance(fields[at][2], bytes):
            fields[at] = (number, wire, value + value)
    else:
        change = random.choice((_flip, _overwrite, _truncate, _insert))
        fields[at] = (number, wire, _sized(wire, change(value, random, ())))


def _sized(wire: int, value: bytes) -> bytes:
    length = {1: 8, 5: 4}.get(wire)
    return value if length is None else (value + bytes(length))[:length]


def _wired(wire: int, value: Any) -> bytes:
    if wire == 0:
        return varint(value)
    return (varint(len(value)) if wire == 2 else b"") + bytes(value)


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes((*parts, value))


def _parsed(content: bytes) -> list[tuple[int, int, Any]]:
    """Return a message's (field number, wire type, value); empty if it is not a message."""
    fields: list[tuple[int, int, Any]] = []
    at = 0
    try:
        while at < len(content):
            tag, at = _number(content, at)
            value: Any
            if tag & 7 == 0:
                value, at = _number(content, at)
            else:
                length = {1: 8, 5: 4}.get(tag & 7)
                if length is None:
                    length, at = _number(content, at)
                if tag & 7 not in (1, 2, 5) or at + length > len(content):
                    return []
                value, at = content[at : at + length], at + length
            if not 0 < tag >> 3 < 1000:
                return []
            fields.append((tag >> 3, tag & 7, value))
    except IndexError:
        return []
    return fields


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value % 2**64, at


def _json(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Replace or delete a value anywhere in the tree."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return _flip(content, random, others)
    at: Any = tree
    while isinstance(at, dict | list) and at:
        key = random.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[key], dict | list) or not at[key] or random.random() < 0.2:
            if random.random() < 0.2:
                del at[key]
            else:
                at[key] = random.choice(_VALUES)
            break
        at = at[key]
    return json.dumps(tree).encode("utf-8", "surrogatepass")


_VALUES: tuple[Any, ...] = (None, True, "", "x", "../x", "/x", "\0", "\ud800", "1/0", [], {}, [[]])
_VALUES += (0, -1, 1e308, float("nan"), float("inf"), 2**63, 10**400, 3, 28, 4097, [0], [1, 2, 3])
_VALUES += ("logits", "a" * 5000, {"a": {"b": []}}, ["0"] * 10, [None], 0.5)


def _header(content: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Write a number of 1, 2 or 4 bytes, in either byte order, near the start: sizes and counts."""
    at = random.randrange(min(len(content) + 1, _HEADER * random.choice((1, 1, 10))))
    width, order = random.choice((1, 2, 2, 4, 4)), random.choice(("<", ">"))
    value = random.choice(NUMBERS) % 2 ** (8 * width)
    number = struct.pack(order + {1: "B", 2: "H", 4: "I"}[width], value)
    return content[:at] + number + content[at + width :]
