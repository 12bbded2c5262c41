"""The command line: arguments in, text and an exit status out.

One file a command, with options and printing only. `group` collects them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..system.interruption import end_on_signals

if TYPE_CHECKING:
    from .group import cli

__all__ = ["cli", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a gate failed, 2 bad use or bad input.

    A signal that interrupts the command makes it 128 and the signal's number.

    Args:
        arguments: None for those of this process, which then ends.
    """
    if arguments is None:
        end_on_signals()  # There is nothing to clean up yet.
    from .group import run

    run(arguments)


def __getattr__(name: str) -> Any:
    if name == "cli":
        from .group import cli

        return cli
    raise AttributeError(name)
