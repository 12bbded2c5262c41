"""A line of text in; the server's log on stderr out."""

from __future__ import annotations

from contextlib import suppress

import click


def log_line(text: str) -> None:
    """Write one line; the server goes on if stderr is closed."""
    with suppress(OSError):
        click.echo(" ".join(text.split()), err=True)
