"""A recipe and a data set in; a trained model, its record and its learning curves out."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras

from edge_mnist import Classifier, datasets
from edge_mnist.system.files import replacing
from edge_mnist.system.progress import Progress
from edge_mnist.system.version import __version__

from .. import arguments, runs
from ..conversion.source_model import weights_sha256
from ..data.model_input import as_input
from ..data.validation import hold_out
from ..frameworks import device, quiet, tool_versions
from ..runs import Recipe, Run
from . import architectures, checkpoints, curves, epochs, losses, optimizers, processes
from .devices import ONE, Devices
from .epoch_data import EpochData, encode
from .run_options import TrainingPlan

_EVALUATION_BATCH = 512  # images; changes the speed only
History = list[dict[str, float]]


@dataclass(frozen=True)
class _TrainingData:
    """Where the data comes from, all its training images, and how they are split."""

    source: datasets.Source
    train: datasets.Split
    validation: datasets.Split
    epoch_data: EpochData


def train(
    plan: TrainingPlan,
    out: Path,
    progress: Progress,
    callbacks: Sequence[Any] = (),
    *,
    devices: Devices = ONE,
    test: bool = True,
) -> Run:
    """Train a model and fill its run folder, or resume the run in that folder.

    A resumed run ends with the same weights as an uninterrupted one.

    Args:
        plan: the recipe, the data and the teacher.
        out: the run folder; new, empty, or an unfinished run of this recipe.
        progress: takes lines of progress, and shows a bar.
        callbacks: Keras callbacks. One that stops the training ends the run.
        devices: the devices to train on, by default one. They do not have to be those of the
            epochs before.
        test: whether the test set is read at the end, to measure the accuracy.

    Raises:
        BundleError: the unfinished run is damaged.
        HostError: the processes have different recipes, data or versions.
        OutputError: another process is training in the folder.
        KeyboardInterrupt: Ctrl-C was pressed. The finished epochs can be resumed.
    """
    recipe = plan.recipe
    _check_callbacks(callbacks)
    _make_deterministic(recipe)
    data = _prepare(recipe, plan.source, plan.teacher)
    # Before the folder is made: images may be too small for the architecture.
    new = None if any(out.glob(runs.CHECKPOINTS)) else _new_model(recipe, data)
    with runs.working(out, recipe, plan.settings):
        model, history = _resume(recipe, out) or (new or _new_model(recipe, data), [])
        history = _share_state(model, history, recipe, data, devices)
        history = _train(model, history, plan, data, out, progress, callbacks, devices)
        return _finish(model, history, recipe, data, out, devices, test=test)


def _train(
    model: Any,
    history: History,
    plan: TrainingPlan,
    data: _TrainingData,
    out: Path,
    progress: Progress,
    callbacks: Sequence[Any],
    devices: Devices,
) -> History:
    recipe = plan.recipe
    for line in _introduction(recipe, data, plan.teacher, devices):
        progress.line(line)
    if history:
        progress.line(f"Resuming {out} after epoch {len(history)} of {recipe.epochs}")
    hooks = _callback_list(callbacks, model, recipe, data)
    with _interrupt_event() as interrupted, progress.bar("Training") as show:

        def show_epoch(fraction: float) -> None:
            done = len(history) + fraction
            show(done / recipe.epochs, f"epoch {len(history) + 1}/{recipe.epochs}")

        watched = hooks if any(map(_watches_batches, callbacks)) else None
        fit = epochs.fit_function(model, recipe, show_epoch, watched, devices)
        hooks.on_train_begin()
        for epoch in range(len(history), recipe.epochs):
            show_epoch(0)
            hooks.on_epoch_begin(epoch)
            history.append(_train_epoch(model, fit, data, recipe, epoch))
            runs.write_history(out, history)
            checkpoints.save(model, out, epoch + 1)
            progress.line(_epoch_line(history[-1], recipe.epochs))
            hooks.on_epoch_end(epoch, _logs(history[-1]))
            if interrupted.is_set():
                raise KeyboardInterrupt
            if processes.first_says(devices.job, model.stop_training):
                progress.line(f"A callback ended the training after epoch {epoch + 1}")
                break
        hooks.on_train_end()
    return history


def _check_callbacks(callbacks: Any) -> None:
    valid = isinstance(callbacks, list | tuple)
    if not valid or not all(isinstance(one, keras.callbacks.Callback) for one in callbacks):
        raise arguments.error("callbacks", "a list of keras.callbacks.Callback", callbacks)


def _watches_batches(callback: Any) -> bool:
    """Return whether a callback has hooks for batches, which only Keras's own loop calls."""
    base = keras.callbacks.Callback
    hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    return any(
        getattr(getattr(callback, name), "__func__", None) is not getattr(base, name)
        for name in hooks
    )


def _callback_list(
    callbacks: Sequence[Any], model: Any, recipe: Recipe, data: _TrainingData
) -> Any:
    model.stop_training = False
    steps = -(-data.epoch_data.images_per_epoch // recipe.batch_size)
    return keras.callbacks.CallbackList(
        [*callbacks], model=model, epochs=recipe.epochs, steps=steps, verbose=0
    )


def _logs(row: dict[str, float]) -> dict[str, float]:
    """Return the metrics of an epoch as Keras passes them to callbacks."""
    return {name: value for name, value in row.items() if name not in ("epoch", "seconds")}


def _make_deterministic(recipe: Recipe) -> None:
    with quiet():  # Keras imports TensorFlow here, also on JAX, and TensorFlow greets on stderr.
        keras.utils.set_random_seed(recipe.seed)
    if recipe.backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _prepare(recipe: Recipe, source: datasets.Source, teacher: Classifier | None) -> _TrainingData:
    images = datasets.load(source, "train", limit=recipe.limit, shape=recipe.shape)
    training, validation = hold_out(images)
    return _TrainingData(source, images, validation, EpochData(training, recipe, teacher))


def _resume(recipe: Recipe, out: Path) -> tuple[Any, History] | None:
    """Return the model of the newest checkpoint and its history; None without a checkpoint."""
    checkpoint = checkpoints.load_newest(out, recipe.epochs)
    if checkpoint is None:
        return None
    model, epoch = checkpoint
    return model, runs.read_history(out, epoch)


def _new_model(recipe: Recipe, data: _TrainingData) -> Any:
    model = architectures.build(
        recipe.arch,
        activation=recipe.activation,
        shape=recipe.shape,
        classes=recipe.classes,
    )
    steps_per_epoch = -(-data.epoch_data.images_per_epoch // recipe.batch_size)
    rate = optimizers.learning_rate(recipe, steps_per_epoch)
    model.compile(
        optimizers.build(recipe.optimizer, rate, recipe.weight_decay),
        loss=losses.SoftenedCrossEntropy(recipe.temperature)
        if recipe.teacher
        else losses.CROSS_ENTROPY[recipe.labels],
        metrics=[losses.accuracy if recipe.labels == "one-hot" else "accuracy"],
    )
    return model


def _share_state(
    model: Any, history: History, recipe: Recipe, data: _TrainingData, devices: Devices
) -> History:
    """Give every process the model and the history of the first one."""
    versions = tool_versions("keras", recipe.backend, "numpy")
    settings = {"recipe": asdict(recipe), "data": data.train.sha256, "versions": versions}
    processes.check_same(devices.job, **settings)
    model.optimizer.build(model.trainable_variables)
    return processes.share_state(devices.job, model, history, recipe.epochs)


def _introduction(
    recipe: Recipe, data: _TrainingData, teacher: Classifier | None, devices: Devices
) -> Iterator[str]:
    validation = len(data.validation.images)
    training = len(data.train.images) - validation
    yield f"Training {recipe.arch} on {data.train.name}: {training:,} images, validation on"
    yield f"{validation:,} more; Keras on {recipe.backend}, {device(recipe.backend)}{devices.words}"
    if teacher:
        file = teacher.artifact.path
        yield f"Targets: the probabilities of the teacher {file.parent.name}/{file.name}"


@contextlib.contextmanager
def _interrupt_event() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets, and every other signal that raises an exception.

    Native code that calls back into Python sometimes swallows KeyboardInterrupt, so that the
    exception alone would not end the run. Only the main thread may handle signals.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def on_interrupt(number: int, frame: Any) -> None:
        pressed.set()
        handler = before[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)

    caught = [number for number, handler in before.items() if callable(handler)]
    for number in caught:
        signal.signal(number, on_interrupt)
    try:
        yield pressed
    finally:
        for number in caught:
            signal.signal(number, before[number])


def _train_epoch(
    model: Any, fit: epochs.FitEpoch, data: _TrainingData, recipe: Recipe, epoch: int
) -> dict[str, float]:
    """Train and validate for one epoch; return its row of the history."""
    start = time.perf_counter()
    metrics = fit(*data.epoch_data.epoch(epoch)) | _validate(model, data, recipe)
    rounded = {name: round(float(value), 6) for name, value in metrics.items()}
    return {"epoch": epoch + 1, **rounded, "seconds": round(time.perf_counter() - start, 2)}


def _validate(model: Any, data: _TrainingData, recipe: Recipe) -> dict[str, float]:
    split = data.validation
    metrics = model.evaluate(
        as_input(split.images),
        encode(split.labels, recipe),
        batch_size=_EVALUATION_BATCH,
        verbose=0,
        return_dict=True,
    )
    return {f"val_{name}": value for name, value in metrics.items()}


def _epoch_line(row: dict[str, float], total: int) -> str:
    return (
        f"epoch {row['epoch']:.0f}/{total}  loss {row['loss']:.4f}  "
        f"validation accuracy {row['val_accuracy']:.2%}  {row['seconds']:.1f} s"
    )


def _finish(
    model: Any,
    history: History,
    recipe: Recipe,
    data: _TrainingData,
    out: Path,
    devices: Devices,
    *,
    test: bool,
) -> Run:
    """Measure the test accuracy, for the only time, and write the results of the run."""
    splits = {"train": data.train}
    results: dict[str, Any] = {"validation_accuracy": history[-1]["val_accuracy"]}
    if test:
        splits["test"] = split = datasets.load(data.source, "test", shape=recipe.shape)
        results |= {"test_accuracy": _test_accuracy(model, split), "test_data": split.name}
    curves.draw(history, f"{recipe.arch} on {data.train.name}", out / "curves.png")
    _save_for_users(model, recipe, out)
    run = runs.write_record(
        out,
        recipe,
        status="finished",
        data=_describe_data(data.source, splits),
        labels=list(data.train.classes),
        epochs_trained=len(history),
        parameters=model.count_params(),
        weights_sha256=weights_sha256(model),
        results=results,
        seconds=round(sum(row["seconds"] for row in history), 1),
        device=device(recipe.backend),
        devices=devices.count,
        processes=devices.job.count,
        tools={"edge-mnist": __version__, **tool_versions("keras", recipe.backend, "numpy")},
    )
    runs.delete_checkpoints(out)
    return replace(run, source=data.source)


def _test_accuracy(model: Any, test: datasets.Split) -> float:
    probabilities = model.predict(as_input(test.images), batch_size=_EVALUATION_BATCH, verbose=0)
    return float((probabilities.argmax(axis=1) == test.labels).mean())


def _save_for_users(model: Any, recipe: Recipe, out: Path) -> None:
    """Save `model.keras` with a plain optimizer and loss: Keras loads it without this package."""
    # Named: Keras would count the optimizers of this process, of which a resumed run has one more.
    optimizer = keras.optimizers.Adam(name="adam")
    model.compile(optimizer, loss=losses.CROSS_ENTROPY[recipe.labels], metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    with replacing(out / "model.keras") as temporary:
        model.save(temporary)


def _describe_data(source: datasets.Source, splits: Mapping[str, datasets.Split]) -> dict[str, Any]:
    return {
        "name": source.kind,
        "path": str(source.path.absolute()) if source.path else None,
        **{
            key: {"name": split.name, "images": len(split.images), "sha256": split.sha256}
            for key, split in splits.items()
        },
    }
