"""Rows of text in, an aligned plain-text table out."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: words to the left, numbers to the right.

    A column holds numbers if every cell of it starts with a digit, a sign or a dash.
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    numbers = [all(cell[:1] in "0123456789+-–<" for cell in column[1:]) for column in columns]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with two decimals, such as "99.12 %"."""
    return f"{fraction:.2%}".replace("%", " %")
