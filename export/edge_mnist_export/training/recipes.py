"""The names of an architecture and a recipe in, a training schedule out.

docs/models.md has the measurements that led to these schedules.
"""

from __future__ import annotations

from typing import NamedTuple


class Schedule(NamedTuple):
    """The training of an architecture; fields without a comment are those of `runs.Recipe`."""

    epochs: int  # without --epochs
    learning_rate: float
    warm_up_epochs: int = 0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    augment: bool = False
    variants: int | None = None
    temperature: float | None = None  # of distillation; None to learn from labels


_PLAIN = Schedule(10, 3e-3, 1)
_SMALL = {
    "plain": _PLAIN,
    "standard": Schedule(30, 1.6e-2, 1, "muon", 0.1, augment=True, variants=8, temperature=3.0),
    "full": Schedule(80, 1.6e-2, 1, "muon", 0.1, augment=True, variants=10, temperature=3.0),
}
RECIPES: dict[str, dict[str, Schedule]] = {
    "pico": _SMALL,
    "nano": _SMALL,
    "edge": _SMALL,
    "accurate": {
        "plain": _PLAIN,
        "standard": Schedule(8, 5e-3, 1, "muon", 0.1, augment=True, variants=8, temperature=3.0),
        "full": Schedule(24, 5e-3, 1, "muon", 0.1, augment=True, variants=8, temperature=3.0),
    },
    "seed": {
        "plain": Schedule(10, 1e-3),
        "standard": Schedule(30, 1e-3, augment=True),
        "full": Schedule(90, 1e-3, augment=True),
    },
}
NAMES = ("plain", "standard", "full")
ACTIVATIONS = ("relu", "sigmoid", "tanh")
LABELS = ("sparse", "one-hot")
MIN_IMAGES = 12  # of data of one's own; a twelfth of them is for validation
MIN_LIMIT = 120  # training images; a twelfth of them is for validation


def default(arch: str) -> str:
    """Return the name of an architecture's recipe for MNIST, unless a user asks for another."""
    return "plain" if arch == "seed" else "standard"


def schedule(arch: str, name: str) -> Schedule:
    """Return the schedule of an architecture, a key of `RECIPES`, and a recipe, one of `NAMES`."""
    return RECIPES[arch][name]
