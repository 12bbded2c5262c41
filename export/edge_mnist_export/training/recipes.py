"""How each architecture is trained, as data: what the command line does not say is read here.

What was tried on held-out images stands in docs/models.md; `plain` is a common default.
"""

from __future__ import annotations

from typing import NamedTuple


class Schedule(NamedTuple):
    """One way to train an architecture.

    The learning rate rises along a line for `warm_up_epochs`, then falls to 0 along a cosine.
    With `augment` every epoch shows other variations of the images, of which there are `variants`.
    With `temperature` the network learns what the shipped teacher answers, not the labels, both
    softened by it (Hinton et al. 2015).
    """

    epochs: int
    learning_rate: float
    warm_up_epochs: int = 0
    optimizer: str = "adam"
    weight_decay: float = 0.0
    augment: bool = False
    variants: int | None = None
    temperature: float | None = None


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


def schedule(arch: str, name: str | None) -> Schedule:
    """Return the recipe `name` of an architecture, or what it has by default."""
    return RECIPES[arch][name or ("plain" if arch == "seed" else "standard")]
