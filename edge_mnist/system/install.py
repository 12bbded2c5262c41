"""The pip commands that messages print. They work while edge-mnist is on no package index.

pip does not look for a package that is installed, so an extra adds to the edge-mnist that prints
the command. The host package has to come from a clone or from a folder of wheels.
"""

from __future__ import annotations

HOST = (
    "pip install . ./export (in a clone), or pip install --find-links FOLDER 'edge-mnist[host]' "
    "(FOLDER holds both wheels)"
)


def extra(name: str) -> str:
    """Return the command that adds an extra, such as a runtime, to the installed edge-mnist."""
    return f"pip install 'edge-mnist[{name}]'"
