"""A Keras model and its data in, a verified bundle out.

The stages: load, infer the model's spec, trace, calibrate int8, convert, verify, gate, write.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist import datasets
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.datasets import Source, Split
from edge_mnist.system.progress import Progress, Show
from edge_mnist.system.text_table import percent

from .bundles import bundle_writer, examples, programs
from .bundles.bundle_writer import BundleWriter
from .conversion import source_model as source_models
from .conversion import spec_inference
from .conversion.converter import ConvertedFile, Make, Report, convert_for, load_converter
from .conversion.label_order import in_output_order
from .conversion.source_model import SourceModel
from .conversion.targets import TARGETS, Target
from .data.model_input import as_input
from .data.validation import hold_out
from .frameworks import converting, load_keras, predict
from .quantization import search
from .quantization.calibration import check_pixels, representative
from .quantization.search import Quantizer, Scheme
from .runs import config
from .verification import gate, int8_outputs, parity, rejection_threshold
from .verification.gate import Gate, VerifiedFile
from .verification.latency import slower_than_float
from .verification.parity import Reference

# The fraction of an export's time that has passed after each stage; all precisions of `edge` on
# MNIST, two cores of an AMD EPYC.
_LOADED, _REFERENCE, _CALIBRATED, _CONVERTED = 0.2, 0.3, 0.6, 0.7


@dataclass(frozen=True)
class ExportOptions:
    """The files to export, and the limits that they must keep.

    Attributes:
        formats: tflite, onnx or both.
        precisions: float32 and any of float16, dynamic and int8.
        programs: any of "c" and "html", which are made of the int8 `.tflite` file, and "triton",
            which is made of an `.onnx` file.
        batch: the batch of the ONNX files; None for an open one.
        target: the kind of device that has to load every file.
        gate: the limits that every file must keep.
    """

    formats: tuple[str, ...]
    precisions: tuple[str, ...]
    programs: tuple[str, ...] = ()
    batch: int | None = None
    target: Target = TARGETS["generic"]
    gate: Gate = field(default_factory=Gate)


@dataclass(frozen=True)
class LoadedModel:
    """A model and its training data.

    Attributes:
        source: the `.keras` file and what is known about its training.
        keras: the Keras model, whose outputs are probabilities.
        spec: the model's spec.
        calibration: the images that training used.
        validation: the images that training held out. Choices are made by measuring on these.
    """

    source: SourceModel
    keras: Any
    spec: ModelSpec
    calibration: Split
    validation: Split

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return Keras's probabilities (n, classes) for images (n, …) uint8."""
        return predict(self.keras, as_input(images, self.spec.scaling))


@dataclass(frozen=True)
class Int8Plan:
    """The int8 quantization of a model.

    Attributes:
        quantizers: the model in each format, its activations measured.
        scheme: the chosen scheme.
        manifest_entry: the manifest's `calibration`.
    """

    quantizers: Mapping[str, Quantizer]
    scheme: Scheme
    manifest_entry: Mapping[str, Any]


def export(
    source_model: SourceModel,
    data_source: Source,
    out: Path,
    options: ExportOptions,
    *,
    settings: Mapping[str, Any],
    progress: Progress,
    show: Report,
) -> None:
    """Write the bundle `out` from a Keras model. Every file runs on the whole test set first.

    The bundle holds the files that pass the gate. Its manifest names the others.

    Args:
        source_model: the model to export.
        data_source: its data: training images to calibrate with, test images to verify with.
        out: the bundle folder, new or empty. It is not created if the export fails, or if
            no file passes the gate.
        options: what to export.
        settings: the options of the command, for the bundle's config.toml.
        progress: takes lines of progress and warnings, and shows a bar.
        show: takes the table of verified files, also if the gate fails.

    Raises:
        GateError: a file missed a limit of the gate. The bundle of the others is written first.
        ModelError, DataError, OutputError: as the messages say.
    """
    with bundle_writer.new_bundle(out) as bundle:
        with progress.bar("Exporting") as step:
            step(0, "load")
            model = load(source_model, data_source, report=progress.warn)
            step(_LOADED, "run Keras")
            test = load_test(model, data_source)
            reference = parity.reference(model.keras, test, model.spec.scaling)
            step(_REFERENCE, "trace")
            with traced(model, options) as graphs:
                int8 = calibrate(model, graphs, options, report=progress.line)
                converted = convert(model, graphs, int8, options, progress=progress, step=step)
            step(_CONVERTED, "verify")
            verified = verify(converted, model.spec, reference, bundle)
        show(parity.text(verified, reference))
        failed = gate.judge(verified, options.gate)
        passed = [file for file in verified if file.artifact.name not in failed]
        if not passed:
            raise gate.error(failed, options.gate, out=None)
        for line in slower_than_float([file.artifact for file in passed]):
            progress.warn(line)
        threshold = choose_threshold(model, report=progress.line)
        outputs = int8_outputs.record(passed, test, report=progress.line)
        description = describe(model, reference, int8, threshold, options.target, outputs)
        description |= examples.add(bundle, [f.artifact for f in passed], report=progress.line)
        description |= add_programs(bundle, passed, model, test, threshold, options, progress)
        reasons = {name: [miss.reason for miss in misses] for name, misses in failed.items()}
        entries = [bundle_writer.verified_entry(file, options.batch) for file in passed]
        bundle.finish(description, entries, failed=reasons)
        config.write(bundle.folder, "export", settings)
    if failed:
        raise gate.error(failed, options.gate, out=out)


def quantize(
    source_model: SourceModel, data_source: Source, *, progress: Progress
) -> tuple[bytes, ModelSpec, Split]:
    """Return the int8 `.tflite` file of a model, its spec, and the validation images.

    The file is the one of an export. The test set is not read.
    """
    options = ExportOptions(formats=("tflite",), precisions=("int8",))
    model = load(source_model, data_source, report=progress.warn)
    with traced(model, options) as graphs:
        int8 = calibrate(model, graphs, options, report=progress.line)
        step: Show = lambda fraction, name: None  # noqa: E731
        (file,) = convert(model, graphs, int8, options, progress=progress, step=step)
    return file.content, model.spec, model.validation


def load(source_model: SourceModel, data_source: Source, *, report: Report) -> LoadedModel:
    """Load the model and its training data, and infer what the file does not state."""
    load_keras("tensorflow")  # The converters read TensorFlow graphs.
    model = source_models.load(source_model)
    shape = tuple(model.inputs[0].shape[1:])
    train = datasets.load(data_source, "train", limit=source_model.limit, shape=shape)
    spec_inference.check_data(model, train)
    check_pixels(train.images, train.name)
    train = in_output_order(train, source_model.labels)
    model = spec_inference.with_softmax(model, train)
    spec = spec_inference.infer_spec(model, source_model, train, report=report)
    return LoadedModel(source_model, model, spec, *hold_out(train))


def load_test(model: LoadedModel, data_source: Source) -> Split:
    """Load the test set, its classes in the order of the model's outputs."""
    test = datasets.load(data_source, "test", shape=model.spec.size)
    return in_output_order(test, model.source.labels)


@contextlib.contextmanager
def traced(model: LoadedModel, options: ExportOptions) -> Iterator[Mapping[str, Any]]:
    """Yield the model's graph in each format, from which every precision is made."""
    with contextlib.ExitStack() as stack:
        graphs = {}
        for format in options.formats:
            with converting(f"model-float32.{format}"):
                graphs[format] = stack.enter_context(load_converter(format).trace(model.keras))
        yield graphs


def calibrate(
    model: LoadedModel, graphs: Mapping[str, Any], options: ExportOptions, *, report: Report
) -> Int8Plan | None:
    """Measure activations, then choose the int8 scheme by its error on validation images."""
    if "int8" not in options.precisions:
        return None
    images, counts = representative(model.calibration, seed=model.source.seed)
    report(f"Measuring activations on {len(images)} images of {model.calibration.name}")
    inputs = as_input(images, model.spec.scaling)
    quantizers = {}
    for format, graph in graphs.items():
        quantizer = load_converter(format).Quantizer
        with converting(f"model-int8.{format}"):
            quantizers[format] = quantizer(graph, inputs, counts, model.spec.range)
    with converting("an int8 file"):
        found = search.search_schemes(
            quantizers, model.validation, model.predict, model.spec, counts
        )
    report(search.summary(found, model.validation))
    trained_on = model.source.training.get("data", {}).get("sha256")
    entry = {
        "data": model.calibration.name,
        "seed": model.source.seed,
        "validation_images": len(model.validation.images),
        # Unknown for a model without a run.
        "held_out_of_training": trained_on == model.calibration.sha256 or None,
        **search.manifest_entry(found),
    }
    return Int8Plan(quantizers, found.chosen, entry)


def convert(
    model: LoadedModel,
    graphs: Mapping[str, Any],
    int8: Int8Plan | None,
    options: ExportOptions,
    *,
    progress: Progress,
    step: Show,
) -> list[ConvertedFile]:
    """Convert the model to every format and precision."""
    files: list[ConvertedFile] = []
    count = len(graphs) * len(options.precisions)
    for format, graph in graphs.items():
        converter = load_converter(format)
        for precision in options.precisions:
            done = len(files) / count
            step(_CALIBRATED + done * (_CONVERTED - _CALIBRATED), f"{precision} {format}")
            progress.line(f"Converting to {precision} {format}")
            make: Make = functools.partial(converter.convert, graph, precision=precision)
            if int8 and precision == "int8":
                make = functools.partial(int8.quantizers[format].quantize, int8.scheme)
            file = convert_for(options.target, format, precision, make, report=progress.warn)
            content = converter.finish(file.content, model.spec, batch=options.batch)
            files.append(replace(file, content=content))
    return files


def verify(
    files: Sequence[ConvertedFile], spec: ModelSpec, reference: Reference, bundle: BundleWriter
) -> list[VerifiedFile]:
    """Add every file to the bundle and run it on the test set."""
    return [parity.verify(bundle.add(file, spec), file.requirements, reference) for file in files]


def choose_threshold(model: LoadedModel, *, report: Report) -> dict[str, Any] | None:
    """Choose the confidence below which a device answers "no digit"."""
    threshold = rejection_threshold.choose(
        model.predict, model.spec, model.validation, seed=model.source.seed
    )
    if threshold:
        report(
            f"Rejection threshold {threshold['threshold']:.3f}: accepts {threshold['kept']:.2%} of "
            f"{threshold['of']}"
        )
    return threshold


def add_programs(
    bundle: BundleWriter,
    files: Sequence[VerifiedFile],
    model: LoadedModel,
    test: Split,
    threshold: Mapping[str, Any] | None,
    options: ExportOptions,
    progress: Progress,
) -> dict[str, Any]:
    """Add the programs whose files passed the gate; return the manifest's field."""
    spec = model.spec._replace(threshold=threshold["threshold"] if threshold else 0.0)
    accuracy = {file.artifact.name: file.accuracy for file in files}
    artifacts = [file.artifact._replace(spec=spec) for file in files]
    sources = programs.find_sources(artifacts, options.programs)
    if not sources:
        return {}
    first, *_ = sources.values()
    entries = programs.add(
        bundle,
        sources,
        programs.model_images(test.images, spec),
        name=model.source.name,
        title=f"{model.source.name}, {percent(accuracy[first.name])} on {test.name}",
        report=progress.line,
    )
    return {"programs": entries}


def describe(
    model: LoadedModel,
    reference: Reference,
    int8: Int8Plan | None,
    threshold: Mapping[str, Any] | None,
    target: Target,
    outputs: Mapping[str, str],
) -> dict[str, Any]:
    """Return the manifest's fields on the model, its training and its data, in their order."""
    spec = model.spec
    return {
        "architecture": {
            "name": model.source.name,
            "parameters": int(sum(np.prod(weight.shape) for weight in model.keras.weights)),
        },
        "labels": list(spec.labels),
        "input": bundle_writer.input_entry(spec),
        "training": {
            **model.source.training,
            "weights_sha256": source_models.weights_sha256(model.keras),
        },
        "target": target.name,
        "evaluation": {
            "data": reference.split.name,
            "images": len(reference.split.images),
            "sha256": reference.split.sha256,
            "keras_accuracy": reference.accuracy,
            **outputs,
        },
        **({"calibration": int8.manifest_entry} if int8 else {}),
        **({"refusal": threshold} if threshold else {}),
    }
