"""Learning curves as a picture."""

from __future__ import annotations

import io
from pathlib import Path

from edge_mnist.system.files import write_atomically


def draw(history: list[dict[str, float]], title: str, path: Path) -> None:
    """Write loss and accuracy by epoch, training beside validation, as a PNG."""
    # The object interface needs no display and leaves no global state behind.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, name, unit in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("", " (%)"), strict=True
    ):
        factor = 100 if unit else 1
        axes.plot(epochs, [row[name] * factor for row in history], "o-", label="training")
        axes.plot(
            epochs, [row[f"val_{name}"] * factor for row in history], "o-", label="validation"
        )
        axes.set(xlabel="epoch", ylabel=name + unit)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    write_atomically(path, png.getvalue())
