"""Train a CNN: fit, checkpoint every epoch, resume, and measure once at the end."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_mnist import Classifier, datasets
from edge_mnist.system.version import __version__

from .. import runs
from ..conversion.source_model import weights_sha256
from ..data.model_input import as_input
from ..data.validation import hold_out
from ..frameworks import device, tool_versions
from ..runs import Recipe, Run
from . import architectures, curves, optimizers
from .epoch_data import EpochData, encode

Report = Callable[[str], None]
Fit = Callable[[NDArray[np.uint8], NDArray[np.generic]], dict[str, float]]

_LOSSES = {"sparse": "sparse_categorical_crossentropy", "one-hot": "categorical_crossentropy"}


def train(
    recipe: Recipe,
    source: datasets.Source,
    out: Path,
    report: Report,
    teacher: Classifier | None = None,
) -> Run:
    """Train as the recipe says and fill the run folder `out`; continue what stands there.

    A run that was interrupted ends with the same weights as one that was not. `teacher` is the
    model that the recipe names by its hash.
    """
    _make_repeatable(recipe)
    split = datasets.load(source, "train", limit=recipe.limit)
    kept, held = hold_out(split)
    epoch_data = EpochData(kept, recipe, teacher)
    model, done = _start(recipe, out, steps=-(-len(epoch_data) // recipe.batch_size))
    history = runs.read_history(out, done)
    fit = _epoch_fitter(model, recipe)
    on = device(recipe.backend)
    if not done:
        out.mkdir(parents=True, exist_ok=True)
        runs.write_record(out, recipe, status="running")
    report(f"Training {recipe.arch} on {split.name}, {len(kept.images):,} images, with Keras")
    report(f"on {recipe.backend}, {on}; {len(held.images):,} images held out for validation")
    if teacher:
        file = teacher.artifact.path
        report(f"The targets are what {file.parent.name}/{file.name} answers, not the labels")
    if done:
        report(f"Continuing {out} after epoch {done} of {recipe.epochs}")
    with _interrupts() as interrupted:
        for epoch in range(done, recipe.epochs):
            history.append(_fit_epoch(model, fit, epoch_data, held, recipe, epoch))
            runs.write_history(out, history)
            _save_checkpoint(model, out, epoch + 1)
            report(_epoch_line(history[-1], recipe.epochs))
            if interrupted.is_set():
                raise KeyboardInterrupt
    return _finish(model, recipe, source, split, history, on, out)


def _make_repeatable(recipe: Recipe) -> None:
    keras.utils.set_random_seed(recipe.seed)
    if recipe.backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Yield an event that is set by Ctrl-C.

    Raised inside of a callback from native code, KeyboardInterrupt is swallowed there now and
    then, and the run would go on to its end.
    """
    pressed = threading.Event()

    def on_interrupt(number: int, frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _start(recipe: Recipe, out: Path, *, steps: int) -> tuple[Any, int]:
    """Return the model with the epochs done: the newest checkpoint, or a new model and 0."""
    checkpoints = sorted(out.glob("checkpoint-*.keras"))
    if checkpoints:
        return _load_checkpoint(checkpoints[-1], recipe)
    model = architectures.build(recipe.arch, activation=recipe.activation)
    accuracy = _accuracy if recipe.labels == "one-hot" else "accuracy"
    model.compile(
        optimizers.build(recipe.optimizer, _rate(recipe, steps), recipe.weight_decay),
        loss=_Softened(recipe.temperature) if recipe.teacher else _LOSSES[recipe.labels],
        metrics=[accuracy],
    )
    return model, 0


def _rate(recipe: Recipe, steps: int) -> Any:
    """Return the learning rate by step, of `steps` an epoch."""
    # The decay costs nothing; at 10 epochs it gave the seed CNN 0.22 points on validation images,
    # the mean of two seeds.
    warm_up = min(recipe.warm_up_epochs, recipe.epochs - 1) * steps
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / (20 if warm_up else 1),
        recipe.epochs * steps - warm_up,
        warmup_target=recipe.learning_rate if warm_up else None,
        warmup_steps=warm_up,
    )


@keras.saving.register_keras_serializable("edge_mnist")
class _Softened(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of two distributions, both taken to the power of 1 / temperature."""

    def __init__(self, temperature: float, **options: Any) -> None:
        super().__init__(**options)
        self.temperature = temperature

    def call(self, targets: Any, probabilities: Any) -> Any:
        ops = keras.ops
        wanted, given = (
            ops.log(ops.maximum(one, 1e-12)) / self.temperature for one in (targets, probabilities)
        )
        return ops.categorical_crossentropy(ops.softmax(wanted), given, from_logits=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("edge_mnist", "accuracy")  # type: ignore[untyped-decorator]
def _accuracy(targets: Any, probabilities: Any) -> Any:
    """Digits that are read rightly; of what is none, that which has no digit over one half."""
    ops = keras.ops
    right = ops.equal(ops.argmax(targets, axis=-1), ops.argmax(probabilities, axis=-1))
    unsure = ops.max(probabilities, axis=-1) <= 0.5
    return ops.cast(ops.where(ops.max(targets, axis=-1) < 0.5, unsure, right), "float32")


# Keras names a metric of a history after its function.
_accuracy.__name__ = "accuracy"


def _load_checkpoint(path: Path, recipe: Recipe) -> tuple[Any, int]:
    number = path.stem.rpartition("-")[2]
    if not number.isdecimal() or not 0 < int(number) <= recipe.epochs:
        raise runs.damaged(path.parent, f"{path.name} for a run of {recipe.epochs} epochs")
    try:
        model = keras.saving.load_model(path)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise runs.damaged(path.parent, f"a broken {path.name}") from error
    if model.optimizer is None:
        raise runs.damaged(path.parent, f"{path.name} without its optimizer")
    return model, int(number)


def _epoch_fitter(model: Any, recipe: Recipe) -> Fit:
    """Return what trains an epoch: a compiled loop, or on a CPU under JAX Keras's own."""
    one_hot = recipe.labels == "one-hot"
    measure = _accuracy if one_hot else keras.metrics.sparse_categorical_accuracy
    if recipe.backend == "tensorflow":
        from . import epochs_tensorflow

        return epochs_tensorflow.Epochs(model, measure, recipe.batch_size).fit
    import jax

    if jax.default_backend() != "cpu":
        from . import epochs_jax

        return epochs_jax.Epochs(model, measure, recipe.batch_size).fit

    # On a CPU, XLA's loop took ten times as long as Keras's.
    def fit(images: NDArray[np.uint8], targets: NDArray[np.generic]) -> dict[str, float]:
        history = model.fit(
            as_input(images), targets, batch_size=recipe.batch_size, shuffle=False, verbose=0
        ).history
        return {name: float(values[-1]) for name, values in history.items()}

    return fit


def _fit_epoch(
    model: Any, fit: Fit, epoch_data: EpochData, held: datasets.Split, recipe: Recipe, epoch: int
) -> dict[str, float]:
    start = time.perf_counter()
    shown = fit(*epoch_data.epoch(epoch))
    labels = encode(held.labels, recipe)
    held_out = model.evaluate(
        as_input(held.images), labels, batch_size=512, verbose=0, return_dict=True
    )
    row = {**shown, **{f"val_{name}": value for name, value in held_out.items()}}
    return {
        "epoch": epoch + 1,
        **{name: round(float(value), 6) for name, value in row.items()},
        "seconds": round(time.perf_counter() - start, 2),
    }


def _save_checkpoint(model: Any, out: Path, epoch: int) -> None:
    """Save under a temporary name, rename, then drop the one before: a kill loses one epoch."""
    temporary = out / ".checkpoint.tmp.keras"
    model.save(temporary)
    kept = temporary.replace(out / f"checkpoint-{epoch:04}.keras")
    for checkpoint in out.glob("checkpoint-*.keras"):
        if checkpoint != kept:
            checkpoint.unlink()


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    return (
        f"epoch {row['epoch']:.0f}/{epochs}  loss {row['loss']:.4f}  "
        f"validation accuracy {row['val_accuracy']:.2%}  {row['seconds']:.1f} s"
    )


def _finish(
    model: Any,
    recipe: Recipe,
    source: datasets.Source,
    split: datasets.Split,
    history: list[dict[str, float]],
    on: str,
    out: Path,
) -> Run:
    """Read the test set, this once, and write what stays of the run."""
    test = datasets.load(source, "test")
    digits = model.predict(as_input(test.images), batch_size=512, verbose=0).argmax(axis=1)
    accuracy = float((digits == test.labels).mean())
    curves.draw(history, f"{recipe.arch} on {split.name}", out / "curves.png")
    # Whoever loads it needs nothing of this project, and finds an optimizer that is complete.
    model.compile("adam", loss=_LOSSES[recipe.labels], metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    temporary = out / ".model.tmp.keras"
    model.save(temporary)
    temporary.replace(out / "model.keras")
    run = runs.write_record(
        out,
        recipe,
        status="finished",
        data={
            "name": source.kind,
            "path": str(source.path.absolute()) if source.path else None,
            "train": {"name": split.name, "images": len(split.images), "sha256": split.sha256},
            "test": {"name": test.name, "images": len(test.images), "sha256": test.sha256},
        },
        parameters=model.count_params(),
        weights_sha256=weights_sha256(model),
        results={
            "validation_accuracy": history[-1]["val_accuracy"],
            "test_accuracy": accuracy,
            "test_data": test.name,
        },
        seconds=round(sum(row["seconds"] for row in history), 1),
        device=on,
        tools={
            "edge-mnist": __version__,
            **tool_versions("keras", recipe.backend, "numpy"),
        },
    )
    for checkpoint in out.glob("checkpoint-*.keras"):
        checkpoint.unlink()
    return run
