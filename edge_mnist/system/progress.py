"""Progress on stderr: lines and, on a terminal, a bar below them."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_BAR_WIDTH = 24  # characters
_REDRAW_S = 0.1
# Draws the bar at a fraction of the work, in [0, 1], with the name of the current step.
Show = Callable[[float, str], None]
Item = TypeVar("Item")


class Progress:
    """Writes progress on stderr, without escape sequences.

    In a notebook it writes on stdout: notebooks colour stderr as an error.

    Args:
        quiet: write warnings only.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._drawn = 0  # characters of the bar that the terminal shows

    def line(self, text: str) -> None:
        """Write a line of progress."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Write a line, also if quiet."""
        self._erase()
        _write(f"{text}\n")

    @contextlib.contextmanager
    def bar(self, label: str, *, hidden: bool = False) -> Iterator[Show]:
        """Show a bar with the remaining time, and erase it at the end.

        Nothing is shown if stderr is not a terminal, or if quiet. Yields the function that moves
        the bar. The remaining time assumes the mean speed since the first call of it.
        """
        if hidden or self._quiet or not sys.stderr.isatty():
            yield lambda fraction, step: None
            return
        first: tuple[float, float] | None = None
        last_s = 0.0

        def show(fraction: float, step: str) -> None:
            nonlocal first, last_s
            now_s = time.monotonic()
            first = first or (now_s, fraction)
            if not self._drawn or now_s - last_s >= _REDRAW_S or fraction >= 1:
                last_s = now_s
                left_s = remaining_s(now_s - first[0], first[1], fraction)
                self._draw(bar_text(label, fraction, left_s, step))

        try:
            yield show
        finally:
            self._erase()

    @contextlib.contextmanager
    def through(
        self, items: Iterable[Item], total: int, label: str, *, hidden: bool = False
    ) -> Iterator[Iterator[Item]]:
        """Yield an iterator over the items, and show a bar that counts them."""
        with self.bar(label, hidden=hidden) as show:

            def count(number: int, item: Item) -> Item:
                show(number / total, f"{number}/{total}")
                return item

            yield itertools.starmap(count, enumerate(items))

    def _draw(self, text: str) -> None:
        # A full line would make the terminal go on to the next.
        shown = text[: _columns() - 1]
        _write(f"\r{shown.ljust(self._drawn)}")
        self._drawn = len(shown)

    def _erase(self) -> None:
        if self._drawn:
            _write(f"\r{' ' * self._drawn}\r")
            self._drawn = 0


def remaining_s(elapsed_s: float, first: float, fraction: float) -> float | None:
    """Return the seconds left at the mean speed from the fraction `first` on; None if unknown."""
    return elapsed_s * (1 - fraction) / (fraction - first) if fraction > first else None


def bar_text(label: str, fraction: float, left_s: float | None, step: str) -> str:
    """Return the bar as text, such as `Training [######------] 50%  40 s left  epoch 2/3`."""
    full = int(fraction * _BAR_WIDTH)
    parts = [f"{label} [{'#' * full}{'-' * (_BAR_WIDTH - full)}] {int(fraction * 100)}%"]
    if left_s is not None and fraction < 1:
        parts.append(f"{_duration(left_s)} left")
    return "  ".join([*parts, step] if step else parts)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _columns() -> int:
    """Return the width of the terminal on stderr; 80 if it does not state one."""
    return os.get_terminal_size(sys.stderr.fileno()).columns or 80


def _write(text: str) -> None:
    # The kernels of Jupyter, Colab and VS Code have such a stream.
    in_notebook = type(sys.stderr).__module__ == "ipykernel.iostream"
    stream = sys.stdout if in_notebook else sys.stderr
    stream.write(text)
    stream.flush()
