"""Read protocol buffers: a message's bytes in, its fields out; and write a field.

A message is a sequence of tags, each followed by a number or by a length and that many bytes:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value): an unsigned integer, or the bytes of any longer value.

    Raises:
        ValueError: the message is broken.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire = tag & 7
        if tag >> 32:
            raise ValueError("a tag of more than 32 bits")
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if wire == _LENGTH:
            length, position = _varint(message, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if position + length > len(message):
            raise ValueError("truncated")
        yield tag >> 3, message[position : position + length]
        position += length


def encode(number: int, value: int | bytes | memoryview) -> bytes:
    """Return a field: an unsigned integer as a varint, other values with their length."""
    if isinstance(value, int):
        return _encode_varint(number << 3 | _VARINT) + _encode_varint(value)
    return _encode_varint(number << 3 | _LENGTH) + _encode_varint(len(value)) + bytes(value)


def as_bytes(value: int | memoryview) -> memoryview:
    """Return the bytes of a message or string; raise ValueError for a number."""
    if isinstance(value, int):
        raise ValueError("a number instead of a message")
    return value


def text(message: memoryview, number: int) -> str:
    """Return the string field of that number: the last one, as in every reader; "" if absent."""
    values = [value for field, value in fields(message) if field == number]
    return bytes(as_bytes(values[-1])).decode() if values else ""


def integers(value: int | memoryview) -> Iterator[int]:
    """Yield the signed 64-bit integers of a repeated field, packed or not."""
    if isinstance(value, int):
        yield _signed(value)
        return
    position = 0
    while position < len(value):
        number, position = _varint(value, position)
        yield _signed(number)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 & 1 else value


def _encode_varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return an unsigned integer and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("truncated")
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number of more than 64 bits")
