"""The settings of a command in, a config.toml that repeats it out.

    [train]
    arch = "edge"
    epochs = 30

The keys are the command's options, without the dashes before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from edge_mnist.system.files import write_atomically

NAME = "config.toml"


def write(folder: Path, command: str, settings: Mapping[str, Any]) -> None:
    """Write the settings that are not None to config.toml in a folder."""
    stated = {
        name.replace("_", "-"): str(value) if isinstance(value, Path) else value
        for name, value in settings.items()
        if value is not None
    }
    write_atomically(folder / NAME, tomli_w.dumps({command: stated}))
