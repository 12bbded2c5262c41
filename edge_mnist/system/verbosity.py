"""Whether the user asked for details: set once, and seen by child processes too."""

from __future__ import annotations

import os

_VARIABLE = "EDGE_MNIST_VERBOSE"


def set_verbose() -> None:
    """Show what libraries print, and the traceback of an error, from now on."""
    os.environ[_VARIABLE] = "1"


def is_verbose() -> bool:
    """Return whether `set_verbose` was called, here or in the parent process."""
    return os.environ.get(_VARIABLE) == "1"
