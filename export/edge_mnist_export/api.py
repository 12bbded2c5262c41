"""The host's Python interface: `train` returns a run, `export` returns a bundle.

The commands call these functions. Importing this module loads neither TensorFlow nor Keras.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_mnist.bundle import MANIFEST, MODELS, Bundle, find_artifacts, read_bundle
from edge_mnist.bundle.model_spec import Scaling
from edge_mnist.errors import DataError, GateError, ModelError
from edge_mnist.system.files import check_free
from edge_mnist.system.progress import Progress

from . import arguments
from .conversion.targets import TARGETS, Target
from .runs import Run, find_folder
from .verification.gate import Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_mnist.datasets import Source

    from .bundles.secret_key import SecretKey
    from .conversion.source_model import SourceModel

    Data = str | Path | Mapping[str, NDArray[Any]]

# These are made of a model file: the first two of the int8 .tflite file, the last of an .onnx file.
_PROGRAMS = ("c", "html", "triton")
FORMATS = ("tflite", "onnx", *_PROGRAMS)


def train(
    arch: str | None = None,
    *,
    data: Data = "auto",
    size: tuple[int, int, int] | None = None,
    recipe: str | None = None,
    activation: str = "relu",
    epochs: int | None = None,
    seed: int = 0,
    teacher: str | Path | None = None,
    labels: str | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    temperature: float | None = None,
    limit: int | None = None,
    max_bytes: int | None = None,
    max_us: float | None = None,
    callbacks: Sequence[Any] = (),
    devices: int | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Run:
    """Train a CNN, or continue an unfinished run of the same settings.

    An interrupt loses at most the running epoch: the same call continues the run.

    Args:
        arch: "pico", "nano", "edge", "accurate" or "seed"; None for "edge".
        data: "auto", "mnist", "synthetic", a path of MNIST, or data of your own: an .npz, a folder
            with a subfolder per class, a folder of four IDX files such as Fashion-MNIST, or a
            mapping with the arrays x_train, y_train, x_test and y_test.
        size: height, width and channels to which a folder's pictures are resized; None for 28×28,
            grey unless a picture is in colour.
        recipe: "plain", "standard" or "full"; None for "standard", or for "plain" with the arch
            "seed" or data of your own.
        activation: of the hidden layers: "relu", "sigmoid" or "tanh".
        epochs: None for the recipe's.
        seed: of weights, shuffling and augmentation; below 2^32.
        teacher: a bundle, a .tflite or an .onnx file to distil from, or "none"; None for the
            shipped teacher where the recipe distils.
        labels: "sparse" or "one-hot"; None for the recipe's.
        learning_rate: the highest one; None for the recipe's.
        weight_decay: decoupled; None for the recipe's.
        temperature: of distillation, so it needs a teacher; None for the recipe's.
        limit: the number of training images; None for all.
        max_bytes: choose the most accurate architecture whose int8 file is at most this large.
        max_us: choose the most accurate architecture within this latency, in microseconds.
        callbacks: Keras callbacks, such as `keras.callbacks.TensorBoard("logs")`.
        devices: the number of GPUs, or of CPU devices, over all processes; None for all GPUs, or
            one CPU device of each process. The weights are those of one device, but for the
            rounding of sums.
        out: the run folder; None for a new one in `runs/`.
        quiet: no progress on stderr.

    Returns:
        The finished run. Of several processes only the first one writes a folder.

    Raises:
        DataError: the data is missing or malformed, or does not fit the recipe.
        ModelError: options contradict each other, or no architecture is within the limits.
        OutputError: `out` cannot be written, or holds something else.
        BundleError: the unfinished run in `out` is damaged.
        HostError: Keras's backend is unknown or not installed, there are fewer devices, or
            another process ended.
        KeyboardInterrupt: the training was interrupted.
    """
    from .frameworks import keras_backend

    folder = None if out is None else arguments.path("out", out)
    count = None if devices is None else arguments.integer("devices", devices, 1, 2**16)
    backend = keras_backend()
    from .training.processes import find_job

    job = find_job(backend)
    progress = Progress(quiet=quiet or not job.first)
    progress.line(f"Loading data: {'arrays' if isinstance(data, Mapping) else data}")
    from .training.run_options import RunOptions, plan

    options = RunOptions(
        arch=arch,
        data=data,
        size=size,
        recipe=recipe,
        activation=activation,
        epochs=epochs,
        seed=seed,
        teacher=teacher,
        labels=labels,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        temperature=temperature,
        limit=limit,
        max_bytes=max_bytes,
        max_us=max_us,
        backend=backend,
    )
    planned = plan(options, progress)
    with contextlib.ExitStack() as stack:
        if job.first:
            folder = find_folder(planned.recipe, folder)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        from .frameworks import load_keras

        load_keras(backend, progress)
        from .training import devices as all_devices
        from .training import loop, processes

        stack.enter_context(processes.connected(job))
        found = all_devices.find(backend, count, planned.recipe.batch_size, job)
        try:
            return loop.train(planned, folder, progress, callbacks, devices=found)
        except KeyboardInterrupt:
            if job.first and any(folder.glob("checkpoint-*.keras")):
                progress.warn(f"{folder} keeps the finished epochs: the same command continues.")
            raise


def export(
    model: Run | str | Path | Any = None,
    *,
    int8: bool = False,
    float16: bool = False,
    dynamic: bool = False,
    formats: Sequence[str] | None = None,
    batch: int | None = None,
    target: str = "generic",
    max_drop: float = 0.3,
    min_agreement: float = 99.0,
    data: Data | None = None,
    input_range: tuple[float, float] | None = None,
    labels: Sequence[str] | None = None,
    out: str | Path | None = None,
    hf: str | Path | None = None,
    sign: str | Path | None = None,
    quiet: bool = False,
    show: Callable[[str], None] | None = None,
) -> Bundle:
    """Quantize a model and write it as a verified bundle: float32 always, others if asked for.

    Every file runs on the whole test set, in the package that will run it on the device.

    Args:
        model: a run, its folder, a `.keras` or an `.h5` file, the folder of a SavedModel, or a
            `keras.Model` in memory; None for the newest run in `runs/`.
        int8: a file of integers only, also at input and output.
        float16: a file of float16 weights.
        dynamic: a file of 8-bit weights and float activations.
        formats: any of "tflite", "onnx", "c", "html" and "triton"; None for "tflite" and "onnx",
            if the target loads them. "c" is C99 for a microcontroller, "html" one page; both are
            made of an int8 `.tflite` file, which comes with them. "triton" is a model repository
            for Triton and KServe, with the `.onnx` file: int8 if asked for, else float32. For
            these three `model` may also be a bundle.
        batch: a fixed batch for the .onnx files; None for an open one.
        target: the kind of device that has to load every file: "generic", "raspberry-pi-64" or
            "raspberry-pi-32".
        max_drop: greatest loss of test accuracy against Keras, in points.
        min_agreement: least share of test images on which a file predicts the same class as
            Keras, in percent.
        data: as for `train`; None for the run's training data.
        input_range: the inputs that pixels 0 and 255 become, for a model of your own; None to
            infer it.
        labels: the names of the outputs in order; None for the data's classes in their order.
        out: the bundle folder; None for `bundle` beside the model.
        hf: also write this folder for the Hugging Face Hub: the bundle with a model card, and a
            run's `model.keras`.
        sign: sign the bundle with this secret key, of `edge-mnist keygen` or minisign. Its password
            is that of the environment variable EDGE_MNIST_KEY_PASSWORD, or is asked for.
        quiet: warnings only on stderr.
        show: takes the table of verified files, also if the gate fails.

    Returns:
        The bundle.

    Raises:
        GateError: a file missed a limit. The bundle of the others is written first.
        BundleError, ModelError: there is no such model, it cannot be exported, or the key to sign
            with cannot be read.
        DataError: the data is missing or malformed, or does not fit the model.
        OutputError: `out` holds something, or cannot be written.
    """
    from . import pipeline
    from .bundles import hub_folder, signing

    # Before the work begins.
    key = None if sign is None else signing.open_key(arguments.path("sign", sign))
    progress = Progress(quiet=quiet)
    wanted = {"float32": True, "float16": float16, "dynamic": dynamic, "int8": int8}
    batch = None if batch is None else arguments.integer("batch", batch, 1, 4096)
    max_drop = arguments.number("max_drop", max_drop, 0)
    min_agreement = arguments.number("min_agreement", min_agreement, 0, 100)
    input_range = None if input_range is None else _checked_range(input_range)
    labels = None if labels is None else _checked_labels(labels)
    hub = None if hf is None else arguments.path("hf", hf)
    formats, programs = _split_formats(formats)
    if programs and _is_bundle(model):
        if formats:
            raise ModelError(
                f"Expected only {', '.join(_PROGRAMS)} as --format of a bundle, got "
                f"{', '.join(formats)}; give the run or the Keras model instead.",
                code="model-program-format",
            )
        folder = _programs_of_bundle(str(model), programs, data=data, out=out, progress=progress)
        return _finished(folder, hub, key)
    without_runtime = [name for name in programs if name != "triton"]
    if without_runtime and not (int8 and "tflite" in formats):
        names = ",".join(without_runtime)
        progress.line(f"--format {names} needs the int8 .tflite file: exporting it")
        wanted["int8"], formats = True, (*formats, *({"tflite"} - set(formats)))
    if "triton" in programs and "onnx" not in formats:
        progress.line("--format triton needs an .onnx file: exporting it")
        formats = (*formats, "onnx")
    with _found(model) as source_model:
        if labels:
            source_model = replace(source_model, labels=labels)
        if input_range:
            source_model = replace(source_model, scaling=Scaling.between(*input_range))
        folder = (
            arguments.path("out", out)
            if out is not None
            else new_bundle_path(Path() if _in_memory(model) else source_model.path.parent)
        )
        progress.line("Loading TensorFlow and the data")
        options = pipeline.ExportOptions(
            formats=_formats(formats, _target(target), batch, progress),
            precisions=tuple(name for name, asked in wanted.items() if asked),
            programs=programs,
            batch=batch,
            target=_target(target),
            gate=Gate(max_drop, min_agreement),
        )
        check_free(folder)  # Before MNIST is downloaded.
        if hub:
            hub_folder.check_place(hub, folder)
        source = _data(data, model, source_model)
        settings = {
            "run": _argument(model, source_model),
            "data": None if data is None or isinstance(data, Mapping) else str(data),
            "int8": int8,
            "fp16": float16,
            "dynamic": dynamic,
            "format": ",".join((*options.formats, *programs)),
            "batch": batch,
            "target": target,
            "max-drop": max_drop,
            "min-agreement": min_agreement,
            "input-range": None if input_range is None else ",".join(map(repr, input_range)),
            "labels": None if labels is None else ",".join(labels),
        }
        try:
            pipeline.export(
                source_model,
                source,
                folder,
                options,
                settings=settings,
                progress=progress,
                show=show or (lambda table: None),
            )
        except GateError:
            if hub:
                progress.warn(f"{hub} is not written, because a file failed the gate")
            if key:
                progress.warn(f"{folder} is not signed, because a file failed the gate")
            raise
        # A user's own model file stays private.
        keras = source_model.path if source_model.weights_sha256 else None
        return _finished(folder, hub, key, keras=keras)


def _finished(
    folder: Path, hub: Path | None, key: SecretKey | None, *, keras: Path | None = None
) -> Bundle:
    """Sign a bundle that was written, copy it for the Hub, and return it."""
    from .bundles import hub_folder, signing

    if key:
        signing.sign(folder, key)
    if hub:
        hub_folder.write(folder, hub, keras=keras)
    # It was made here: the keys that this machine trusts are not asked.
    return read_bundle(folder, trust=key.public.text if key else False)


def _split_formats(formats: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the formats of models, and those of programs; the first are empty if not given."""
    if formats is None:
        return (), ()
    asked = arguments.items("formats", formats, f"a list of {', '.join(FORMATS)}")
    names = tuple(arguments.choice("formats", name, FORMATS) for name in asked)
    return (
        tuple(name for name in names if name not in _PROGRAMS),
        tuple(name for name in _PROGRAMS if name in names),
    )


def _is_bundle(model: Any) -> bool:
    """Return whether a model is a bundle's folder, a shipped bundle's name or a `.tflite` file."""
    if not isinstance(model, str | Path):
        return False
    path = Path(model)
    if path.is_dir():
        return (path / MANIFEST).is_file()
    return path.suffix == ".tflite" or (str(model) in MODELS and not path.exists())


def _programs_of_bundle(
    model: str, programs: tuple[str, ...], *, data: Data | None, out: Any, progress: Progress
) -> Path:
    """Write the programs of a bundle's files as a new bundle; without TensorFlow."""
    from edge_mnist import datasets

    from .bundles import programs as program_files

    default = f"{Path(model).stem}-{'-'.join(programs)}"
    folder = arguments.path("out", default if out is None else out)
    check_free(folder)  # Before MNIST is downloaded.
    sources = program_files.required_sources(find_artifacts(model), programs)
    spec = next(iter(sources.values())).spec
    assert spec is not None
    # Only the C program is run here.
    known = "c" in programs and (data is not None or spec.digits)
    source = datasets.find(data or "auto", splits=("test",), own=True) if known else None
    program_files.from_bundle(sources, folder, data=source, report=progress.line)
    return folder


def new_bundle_path(folder: Path) -> Path:
    """Return FOLDER/bundle, or the first free one of FOLDER/bundle-2, FOLDER/bundle-3, …"""
    names = ("bundle", *(f"bundle-{number}" for number in range(2, 1000)))
    return next(folder / name for name in names if not (folder / name).exists())


@contextlib.contextmanager
def _found(model: Any) -> Iterator[SourceModel]:
    """Yield the model to export. A model in memory is saved to a temporary file."""
    from .conversion import source_model as source_models

    if isinstance(model, Run):
        yield source_models.find(model.path)
    elif model is None or isinstance(model, str | Path):
        yield source_models.find(None if model is None else Path(model))
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield source_models.save(model, Path(folder))


def _in_memory(model: Any) -> bool:
    return model is not None and not isinstance(model, Run | str | Path)


def _argument(model: Any, source_model: SourceModel) -> str | None:
    """Return the argument that names the model again; None for a model in memory."""
    if _in_memory(model):
        return None
    named = source_model.path.parent if model is None else model
    return str(named.path if isinstance(named, Run) else named)


def _checked_range(value: Any) -> tuple[float, float]:
    expected = "two finite numbers, the lower first"
    parts = arguments.items("input_range", value, expected)
    numbers = tuple(arguments.number("input_range", part) for part in parts)
    if len(numbers) != 2 or numbers[0] >= numbers[1]:
        raise arguments.error("input_range", expected, value)
    return numbers[0], numbers[1]


def _checked_labels(value: Any) -> tuple[str, ...]:
    expected = "a list of different names"
    names = arguments.items("labels", value, expected)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise arguments.error("labels", expected, value)
    return tuple(map(str, names))


def _data(data: Data | None, model: Any, source_model: SourceModel) -> Source:
    from edge_mnist import datasets

    if data is not None:
        return datasets.find(data, own=True)
    if isinstance(model, Run) and model.source:
        return model.source
    if source_model.data == "own":
        raise DataError(
            f"Expected the data that {source_model.path} was trained on, got a run whose data was "
            f"in memory or is gone; give it with --data.",
            code="data-run",
        )
    return datasets.find(source_model.data or "auto", own=True)


def _target(name: str) -> Target:
    if not isinstance(name, str) or name not in TARGETS:
        raise ModelError(
            f"Expected a target of {', '.join(TARGETS)}, got {name!r}.", code="model-target-unknown"
        )
    return TARGETS[name]


def _formats(
    formats: tuple[str, ...], target: Target, batch: int | None, progress: Progress
) -> tuple[str, ...]:
    """Return the formats asked for, or all that the target loads; report the others."""
    for format in {"tflite", "onnx"} - set(target.formats):
        if format in formats:
            raise ModelError(
                f"Expected a format that {target.name} can load ({', '.join(target.formats)}), "
                f"got {format}, for which there is no runtime; leave it out of --format, or "
                f"export for another --target.",
                code="model-target-format",
            )
        if not formats:
            progress.warn(f"No {format} files: {target.name} has no runtime for them")
    loadable = tuple(formats or target.formats)
    if batch and "onnx" not in loadable:
        raise ModelError(
            f"Expected --batch with .onnx files, got only {', '.join(loadable)}; a .tflite file "
            f"takes one image at a time.",
            code="model-batch",
        )
    return loadable
