"""Repair loaded models in a forked process: only the forking thread exists there."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Repairable(Protocol):
    """An object that can be repaired in a forked process."""

    def repair_in_child(self) -> None:
        """Make it usable; called once, right after the fork."""
        ...


_alive: weakref.WeakSet[Repairable] = weakref.WeakSet()
# Sessions whose threads stayed in the parent. They are kept: to end them would wait for ever.
_abandoned: list[object] = []


def repair_in_child(model: Repairable) -> None:
    """Repair a model, as long as it lives, in every process forked from this one."""
    _alive.add(model)


def abandon(session: object) -> None:
    """Keep a session that must not be destroyed in this process."""
    _abandoned.append(session)


def _after_fork() -> None:
    for model in list(_alive):
        model.repair_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
