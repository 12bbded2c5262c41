"""How each architecture is trained where the command line does not say otherwise."""

from __future__ import annotations

from typing import NamedTuple


class Schedule(NamedTuple):
    """Epochs, and a learning rate that rises along a line, then falls to 0 along a cosine."""

    epochs: int
    learning_rate: float
    warm_up_epochs: int


# Chosen on held-out images. The rate of `edge` is what batch normalization allows.
SCHEDULES = {
    "seed": Schedule(epochs=10, learning_rate=1e-3, warm_up_epochs=0),
    "edge": Schedule(epochs=30, learning_rate=3e-3, warm_up_epochs=1),
}
