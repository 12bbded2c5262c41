"""Read a flatbuffer that nobody vouches for: every offset is checked before it is followed.

tflite-runtime does not check them. The format: https://flatbuffers.dev/internals/. A table begins
with the distance back to its vtable. The vtable holds its own size, the table's size, and the
position of each field in the table, 0 for a default. A vector is a count and its items. Strings,
vectors and tables are reached by an offset from the field that refers to them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .malformed import Malformed, TooLarge

# Upper bounds on the tables of one vector and on its numbers, so that reading takes at most
# seconds. A large classifier for a Raspberry Pi has about 400 tables.
_MOST_TABLES = 20_000
_MOST_NUMBERS = 100_000


def root(content: bytes, identifier: bytes) -> Table:
    """Return the root table of a file with that identifier."""
    if content[4:8] != identifier:
        raise Malformed(f"no {identifier.decode()} mark at byte 4")
    return _table(content, _follow(content, 0))


class Table(NamedTuple):
    """A table that lies inside of the content, as does its vtable."""

    content: bytes
    start: int
    size: int
    fields: tuple[int, ...]

    def number(self, field: int, format: str, default: int = 0) -> int:
        """Return an integer; `format` is the one of `struct`."""
        at = self.position(field, struct.calcsize(format))
        return default if at is None else int(_unpack(self.content, format, at)[0])

    def real(self, field: int) -> float:
        """Return a float32."""
        at = self.position(field, 4)
        return 0.0 if at is None else float(_unpack(self.content, "f", at)[0])

    def numbers(self, field: int, format: str) -> tuple[int, ...]:
        """Return a vector of integers or floats; empty where there is none."""
        start, count = self.span(field, struct.calcsize("<" + format))
        if count > _MOST_NUMBERS:
            raise TooLarge(f"a vector of {count} numbers, at most {_MOST_NUMBERS} are read")
        return _unpack(self.content, f"{count}{format}", start)

    def text(self, field: int) -> str:
        """Return a string, or "" where there is none."""
        start, count = self.span(field, 1)
        try:
            return self.content[start : start + count].decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"a name at byte {start} that is not UTF-8") from error

    def table(self, field: int) -> Table | None:
        """Return a table, or None where there is none."""
        at = self.position(field, 4)
        return None if at is None else _table(self.content, _follow(self.content, at))

    def tables(self, field: int) -> list[Table]:
        """Return a vector of tables."""
        start, count = self.span(field, 4)
        if count > _MOST_TABLES:
            raise TooLarge(f"{count} tables in a vector, at most {_MOST_TABLES} are read")
        places = range(start, start + 4 * count, 4)
        return [_table(self.content, _follow(self.content, at)) for at in places]

    def span(self, field: int, item_size: int) -> tuple[int, int]:
        """Return where the items of a vector start, and their count; 0 and 0 without one."""
        at = self.position(field, 4)
        if at is None:
            return 0, 0
        at = _follow(self.content, at)
        (count,) = _unpack(self.content, "I", at)
        if at + 4 + count * item_size > len(self.content):
            raise Malformed(f"{count} items at byte {at}, past the end")
        return at + 4, count

    def position(self, field: int, width: int) -> int | None:
        """Return where a field of `width` bytes is; None where it has its default."""
        offset = self.fields[field] if field < len(self.fields) else 0
        if offset and not 4 <= offset <= self.size - width:
            raise Malformed(f"a field outside of its table at byte {self.start}")
        return self.start + offset if offset else None


def _table(content: bytes, start: int) -> Table:
    vtable = start - _unpack(content, "i", start)[0]
    vtable_size, size = _unpack(content, "HH", vtable)
    if vtable_size < 4 or vtable_size % 2 or size < 4 or start + size > len(content):
        raise Malformed(f"a broken table at byte {start}")
    return Table(content, start, size, _unpack(content, f"{vtable_size // 2 - 2}H", vtable + 4))


def _follow(content: bytes, at: int) -> int:
    """Return the place that the offset at a place leads to: always forward."""
    (offset,) = _unpack(content, "I", at)
    if not offset:
        raise Malformed(f"an offset of 0 at byte {at}")
    return at + offset


def _unpack(content: bytes, format: str, at: int) -> tuple[int, ...]:
    """Return little-endian numbers."""
    if not 0 <= at <= len(content) - struct.calcsize("<" + format):
        raise Malformed(f"an offset to byte {at}, of {len(content)} bytes")
    return struct.unpack_from("<" + format, content, at)
