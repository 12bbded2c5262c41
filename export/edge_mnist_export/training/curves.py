"""Metrics per epoch in, learning curves as a PNG file out."""

from __future__ import annotations

import io
from pathlib import Path

from edge_mnist.system.files import write_atomically


def draw(history: list[dict[str, float]], title: str, path: Path) -> None:
    """Plot loss and accuracy by epoch; `history` has rows as `runs.read_history` returns them."""
    # Unlike pyplot, this needs no display and leaves no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in history]
    plots = (("loss", "loss", 1), ("accuracy", "accuracy (%)", 100))
    for axes, (metric, label, factor) in zip(figure.subplots(1, 2), plots, strict=True):
        for prefix, split in (("", "training"), ("val_", "validation")):
            values = [row[prefix + metric] * factor for row in history]
            axes.plot(epochs, values, "o-", label=split)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    write_atomically(path, png.getvalue())
