"""Plain-text tables, for a terminal and for a README alike."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: words to the left, figures to the right.

    A column holds figures where every cell of it starts with a digit, a sign or a dash.
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    figures = [all(cell[:1] in "0123456789+-–<" for cell in column[1:]) for column in columns]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if figure else cell.ljust(width)
            for cell, width, figure in zip(row, widths, figures, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with two decimals: one image in 10,000."""
    return f"{fraction:.2%}".replace("%", " %")
