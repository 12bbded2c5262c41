"""The command line: arguments in, text and an exit status out.

One file a command, with options and printing only. `group` collects them.
"""

from __future__ import annotations

from .group import cli, main

__all__ = ["cli", "main"]
