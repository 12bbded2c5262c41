"""Read a flatbuffer without trusting it: every offset is checked before it is followed.

The format: https://flatbuffers.dev/internals/. A table begins with the distance back to its
vtable, which holds two sizes and where in the table each field lies, 0 for a default; a vector
is a count and its items; what is not a number is reached by an offset from where that stands.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .malformed import Malformed

_SIZES = {"b": 1, "B": 1, "?": 1, "h": 2, "H": 2, "i": 4, "I": 4, "f": 4, "q": 8, "Q": 8, "d": 8}


def root(content: bytes, identifier: bytes) -> Table:
    """Return the root table of a file with that identifier."""
    if len(content) < 12 or content[4:8] != identifier:
        raise Malformed(f"no {identifier.decode()} mark at byte 4")
    return _table(content, _offset(content, 0))


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose vtable and own bytes lie inside of the content."""

    content: bytes
    start: int
    size: int
    fields: tuple[int, ...]

    def number(self, field: int, format: str, default: int = 0) -> int:
        """Return an integer."""
        at = self._at(field, _SIZES[format])
        return default if at is None else int(struct.unpack_from("<" + format, self.content, at)[0])

    def real(self, field: int) -> float:
        """Return a float32."""
        at = self._at(field, 4)
        return 0.0 if at is None else float(struct.unpack_from("<f", self.content, at)[0])

    def numbers(self, field: int, format: str) -> tuple[int, ...]:
        """Return a vector of integers, or of floats; empty where there is none."""
        start, count = self.span(field, _SIZES[format])
        return struct.unpack_from(f"<{count}{format}", self.content, start)

    def text(self, field: int) -> str:
        """Return a string, or "" where there is none."""
        start, count = self.span(field, 1)
        # The runtimes read on until a byte of 0.
        if start and self.content[start + count : start + count + 1] != b"\0":
            raise Malformed(f"a name at byte {start} without an end")
        try:
            return self.content[start : start + count].decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"a name at byte {start} that is not UTF-8") from error

    def table(self, field: int) -> Table | None:
        """Return a table, or None where there is none."""
        at = self._at(field, 4)
        return None if at is None else _table(self.content, at + _offset(self.content, at))

    def tables(self, field: int, *, most: int) -> list[Table]:
        """Return a vector of tables; more than `most` are refused before any is read."""
        start, count = self.span(field, 4)
        if count > most:
            raise Malformed(f"{count} of what there may be {most}")
        places = range(start, start + 4 * count, 4)
        return [_table(self.content, at + _offset(self.content, at)) for at in places]

    def span(self, field: int, item_size: int) -> tuple[int, int]:
        """Return where the items of a vector start, and their count."""
        at = self._at(field, 4)
        if at is None:
            return 0, 0
        at += _offset(self.content, at)
        count = _unsigned(self.content, at)
        if at + 4 + count * item_size > len(self.content):
            raise Malformed(f"{count} items of {item_size} bytes at byte {at}, past the end")
        return at + 4, count

    def _at(self, field: int, width: int) -> int | None:
        """Return the position of a field; None where it has its default."""
        offset = self.fields[field] if field < len(self.fields) else 0
        if not offset:
            return None
        if offset < 4 or offset + width > self.size:
            raise Malformed(f"field {field} outside of its table at byte {self.start}")
        return self.start + offset


def _table(content: bytes, start: int) -> Table:
    _unsigned(content, start)
    vtable = start - struct.unpack_from("<i", content, start)[0]
    if not 0 <= vtable <= len(content) - 4:
        raise Malformed(f"a table at byte {start} without a vtable")
    vtable_size, size = struct.unpack_from("<HH", content, vtable)
    if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > len(content):
        raise Malformed(f"a vtable of {vtable_size} bytes at byte {vtable}")
    if size < 4 or start + size > len(content):
        raise Malformed(f"a table of {size} bytes at byte {start}, past the end")
    fields = struct.unpack_from(f"<{vtable_size // 2 - 2}H", content, vtable + 4)
    return Table(content, start, size, fields)


def _offset(content: bytes, at: int) -> int:
    """Return an offset that leads forward; content is checked again where it is followed."""
    offset = _unsigned(content, at)
    if not 0 < offset < len(content):
        raise Malformed(f"an offset of {offset} at byte {at}, in {len(content)} bytes")
    return offset


def _unsigned(content: bytes, at: int) -> int:
    if not 0 <= at <= len(content) - 4:
        raise Malformed(f"a place at byte {at}, of {len(content)} bytes")
    value: int = struct.unpack_from("<I", content, at)[0]
    return value
