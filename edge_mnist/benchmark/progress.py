"""A progress bar for a benchmark, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import click

_STEPS = 1000


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[float, str], None]]:
    """Yield a function that shows the fraction done, in [0, 1], and the current row."""
    with click.progressbar(
        length=_STEPS,
        label="Measuring",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        item_show_func=lambda row: row,
    ) as bar:

        def show(fraction: float, row: str) -> None:
            bar.update(int(fraction * _STEPS) - bar.pos, row)

        yield show
        show(1.0, "")
