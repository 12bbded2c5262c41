"""A model and its epoch in, a checkpoint file out, and back."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras

from edge_mnist.system.files import replacing

from ..runs import CHECKPOINTS, delete_checkpoints, resume_error

# Keras loads only registered classes. Importing these modules registers theirs.
from . import losses, optimizers  # noqa: F401


def save(model: Any, folder: Path, epoch: int) -> None:
    """Save the model and its optimizer after `epoch` epochs, then delete older checkpoints.

    A complete checkpoint exists at every moment: a killed process loses one epoch at most.
    """
    path = folder / f"checkpoint-{epoch:04}.keras"
    with replacing(path) as temporary:
        model.save(temporary)
    delete_checkpoints(folder, keep=path)


def load_newest(folder: Path, epochs: int) -> tuple[Any, int] | None:
    """Return the newest checkpoint of a run of `epochs` epochs and its epoch; None without any.

    Raises:
        BundleError: the checkpoint is broken, or its epoch is out of range.
    """
    path = max(folder.glob(CHECKPOINTS), default=None)
    if path is None:
        return None
    number = path.stem.rpartition("-")[2]
    if not number.isdecimal() or not 0 < int(number) <= epochs:
        raise resume_error(folder, f"{path.name} for a run of {epochs} epochs")
    try:
        model = keras.saving.load_model(path)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise resume_error(folder, f"a broken {path.name}") from error
    if model.optimizer is None:
        raise resume_error(folder, f"{path.name} without its optimizer")
    return model, int(number)
