"""Signals that end a process, as exceptions: a command then cleans up behind itself."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

# Ctrl-C, `kill` or the system going down, and a terminal that was closed.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interruption:
    """The signal that interrupted the body of `interruptible`, if one did."""

    def __init__(self) -> None:
        self.number: signal.Signals | None = None

    @property
    def exit_status(self) -> int:
        """The exit status by convention: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + (self.number or 0)

    def __str__(self) -> str:
        if self.number in (None, signal.SIGINT):
            return "interrupted"
        assert self.number is not None
        return f"interrupted by {self.number.name}"


def end_on_signals() -> None:
    """Let each of the signals end this process at once, without an exception or a traceback."""
    for number in _caught():
        signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def interruptible(*, until_exit: bool) -> Iterator[Interruption]:
    """Raise KeyboardInterrupt in the body on each of the signals; ignored ones stay ignored.

    Args:
        until_exit: the process ends after the body. Until then the signals end it at once: an
            exception would print a traceback.
    """
    received = Interruption()

    def on_signal(number: int, frame: object) -> None:
        received.number = signal.Signals(number)
        # Where an exception cannot pass, such as in a destructor or in TensorFlow's C++, Python
        # prints it, or another one that follows from it.
        sys.excepthook = sys.unraisablehook = _print_nothing
        raise KeyboardInterrupt

    hooks = sys.excepthook, sys.unraisablehook
    before = {number: signal.getsignal(number) for number in _caught()}
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield received
    finally:
        sys.excepthook, sys.unraisablehook = hooks
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if until_exit else handler)


def _caught() -> list[signal.Signals]:
    """Return the signals that this process may handle: ignored ones stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        return []
    numbers = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def _print_nothing(*error: object) -> None:
    pass
