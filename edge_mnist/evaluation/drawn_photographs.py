"""The drawn photographs of the host package, found through an entry point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from ..errors import HostError
from ..system.install import HOST

PLUGINS = "edge_mnist.pictures"


class DrawnPhotographs(Protocol):
    """The module that draws photographs of handwritten digits."""

    COUNT: int
    NAME: str

    def pictures(self, count: int) -> Iterator[tuple[str, str, object]]:
        """Yield a condition's name, the true digit as text, and the picture."""
        ...


def find_drawn_photographs() -> DrawnPhotographs:
    """Return the host package's module.

    Raises:
        HostError: the host package is not installed.
    """
    from importlib.metadata import entry_points

    for plugin in entry_points(group=PLUGINS, name="paper"):
        return cast(DrawnPhotographs, plugin.load())
    raise HostError(
        f"Expected the host package edge-mnist-export, which draws the photographs of --data "
        f"paper, got none installed; install it with: {HOST}.",
        code="host-missing",
    )
