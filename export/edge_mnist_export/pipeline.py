"""Write a bundle: convert, verify, and only then let it exist."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge_mnist import datasets
from edge_mnist.bundle import MANIFEST, SCHEMA, Artifact
from edge_mnist.bundle.model_spec import ModelSpec, Scaling
from edge_mnist.errors import DataError, ModelError
from edge_mnist.foreign_models import scaling_search
from edge_mnist.system.files import new_folder
from edge_mnist.system.text_table import percent
from edge_mnist.system.version import __version__

from .conversion import source_model as source_models
from .conversion.source_model import SourceModel
from .conversion.targets import Target, loads_in
from .data.model_input import as_input
from .data.validation import hold_out
from .frameworks import converting, tool_versions
from .quantization import search
from .quantization.calibration import check_pixels, representative
from .verification import parity, rejection_threshold
from .verification.gate import Gate, Verdict, check
from .verification.latency import slower_than_float

Report = Callable[[str], None]
# What trainers make of pixels; of several that fit equally the first is taken.
_RANGES = {
    "0 to 1": Scaling.between(0, 1),
    "0 to 255": Scaling.between(0, 255),
    "-1 to 1": Scaling.between(-1, 1),
}
# So much accuracy is lost by a wrong range alone, not by a model that is merely bad.
_WRONG_RANGE = 0.2


@dataclass(frozen=True)
class _Made:
    """One file and what became of it."""

    verdict: Verdict
    requirements: dict[str, Any]


def export(
    subject: SourceModel,
    source: datasets.Source,
    out: Path,
    *,
    formats: Sequence[str],
    precisions: Sequence[str],
    batch: int | None,
    target: Target,
    gate: Gate,
    report: Report,
    show: Report,
) -> None:
    """Write the bundle `out` from a Keras model, every file run on the whole test set first.

    `batch` is that of the ONNX files, None for an open one. `report` takes progress, `show` the
    table. Where the gate fails nothing is left behind.

    Raises:
        GateError: a file lost what `gate` wants kept.
        ModelError, OutputError, DataError: as the messages say.
    """
    with new_folder(out) as folder:
        model = source_models.load(subject)
        shape = tuple(model.inputs[0].shape[1:])
        train = datasets.load(source, "train", limit=subject.limit, shape=shape)
        test = datasets.load(source, "test", shape=shape)
        _check_fits(model, train)
        model = _answering_probabilities(model, train)
        spec = _model_spec(model, subject, train, report)
        reference = parity.reference(model, test, spec.scaling)
        # The converters are heavy: each is imported only when its format is asked for.
        converters = {
            name: importlib.import_module(f".conversion.{name}", __package__) for name in formats
        }
        kept, held = hold_out(train)
        int8: Mapping[str, Callable[..., bytes]] = {}
        calibration: dict[str, Any] = {}
        if "int8" in precisions:
            int8, calibration = _int8(model, subject, spec, kept, held, converters, report)
        made = []
        for format, converter in converters.items():
            for precision in precisions:
                report(f"Converting to {precision} {format}")
                convert: Callable[..., bytes] = functools.partial(
                    converter.convert, model, precision=precision
                )
                if precision == "int8":
                    convert = int8[format]
                file = Path(f"model-{precision}.{format}")
                content, requirements = _fit(convert, converter, file, target, report)
                content = converter.finish(content, spec, batch=batch)
                artifact = _write(folder, format, precision, content, spec)
                verdict = parity.verify(artifact, reference)
                made.append(_Made(verdict, requirements))
        verdicts = [entry.verdict for entry in made]
        show(parity.text(verdicts, reference))
        check(verdicts, gate)
        for line in slower_than_float([verdict.artifact for verdict in verdicts]):
            report(line)
        manifest = {
            **_description(subject, model, spec),
            "target": target.name,
            "evaluation": {
                "data": test.name,
                "images": len(test.images),
                "sha256": test.sha256,
                "keras_accuracy": reference.accuracy,
            },
            **calibration,
            **_refusal(model, spec, held, subject.seed, report),
            "artifacts": [_entry(entry, batch) for entry in made],
            "tools": _tools(),
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _int8(
    model: Any,
    subject: SourceModel,
    spec: ModelSpec,
    kept: datasets.Split,
    held: datasets.Split,
    converters: Mapping[str, ModuleType],
    report: Report,
) -> tuple[Mapping[str, Callable[..., bytes]], dict[str, Any]]:
    """Choose how int8 is made; return what makes it, by format, and what the manifest says."""
    images, counts = representative(kept, seed=subject.seed)
    check_pixels(images, spec, kept.name)
    report(f"Measuring activations on {len(images)} images of {kept.name}")
    floats = as_input(images, spec.scaling)
    quantizers = {}
    for format, converter in converters.items():
        with converting(f"model-int8.{format}"):
            quantizers[format] = converter.Quantizer(model, floats, counts, spec.range)

    def keras_answers(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = model.predict(as_input(images, spec.scaling), verbose=0)
        return answers

    with converting("an int8 file"):
        study = search.study(quantizers, held, keras_answers, spec, counts)
    report(search.summary(study, held))
    trained_on = subject.training.get("data", {})
    document: dict[str, Any] = {
        "data": kept.name,
        "seed": subject.seed,
        "validation_images": len(held.images),
        # Of a model that came with no run nobody can tell what it has seen.
        "held_out_of_training": trained_on.get("sha256") == kept.sha256 or None,
        **search.document(study),
    }
    makers: dict[str, Callable[..., bytes]] = {
        format: functools.partial(quantizer.quantize, study.chosen)
        for format, quantizer in quantizers.items()
    }
    return makers, {"calibration": document}


def _refusal(
    model: Any, spec: ModelSpec, held: datasets.Split, seed: int, report: Report
) -> dict[str, Any]:
    """Choose below which confidence nothing is read, and say what the manifest says."""
    if not spec.digits:
        return {}
    chosen = rejection_threshold.choose(model, spec, held, seed=seed)
    if not chosen:
        return {}
    report(
        f"Below {chosen['threshold']:.3f} no digit is read: {chosen['kept']:.2%} of "
        f"{chosen['of']} are kept"
    )
    return {"refusal": {"data": held.name, **chosen}}


def _fit(
    convert: Callable[..., bytes], converter: ModuleType, file: Path, target: Target, report: Report
) -> tuple[bytes, dict[str, Any]]:
    """Convert so that `target` loads the file; return it with what its manifest entry says.

    Raises:
        ModelError: the target cannot load it, with nothing left to give up.
    """
    format, given_up = file.suffix[1:], None
    with converting(file.name):
        content = convert()
    needs = converter.needs(content)
    refusal = target.refusal(format, needs)
    if refusal and (given_up := converter.OLDER.get(file.stem.removeprefix("model-"))):
        report(f"{file} {refusal}: for {target.name} it gets {given_up}")
        with converting(file.name):
            content = convert(older=True)
        needs = converter.needs(content)
    target.check(str(file), format, needs)
    oldest = loads_in(format, needs)
    for runtime in (name for name, release in oldest.items() if release is None):
        report(f"{file} loads in no release of {runtime}; if a device has that, see --target")
    about = {**converter.requirements(content), "loads_in": oldest}
    return content, {**about, "given_up": given_up} if given_up else about


def _check_fits(model: Any, train: datasets.Split) -> None:
    """Refuse data that is not of the model's size or classes."""
    shape, classes = tuple(model.inputs[0].shape[1:]), model.outputs[0].shape[1]
    images = (*train.images.shape[1:], 1)[:3]
    if images != shape or len(train.classes) != classes:
        raise DataError(
            f"Expected images of shape {shape} of {classes} classes for this model, got {images} "
            f"of {len(train.classes)} in {train.name}; give its data with --data."
        )


def _model_spec(
    model: Any, subject: SourceModel, train: datasets.Split, report: Report
) -> ModelSpec:
    height, width, channels = model.inputs[0].shape[1:]
    scaling = subject.scaling or _find_scaling(model, train, report)
    if subject.scaling and subject.weights_sha256 is None:
        _check_scaling(model, scaling, train)
    return ModelSpec(height, width, channels, scaling, train.classes)


def _find_scaling(model: Any, train: datasets.Split, report: Report) -> Scaling:
    """Return what has to be made of pixels, found by trying it on training images."""
    scores = _scores(model, train, _RANGES)
    chosen = scaling_search.best(scores)[0]
    tried = ", ".join(f"{name}: {percent(score.accuracy)}" for name, score in scores.items())
    report(
        f"Pixels are taken to be {chosen} for this model; accuracy on {_sample_name(train)} with "
        f"{tried}. --input-range decides otherwise."
    )
    return _RANGES[chosen]


def _check_scaling(model: Any, given: Scaling, train: datasets.Split) -> None:
    """Refuse an input range that another one beats by far: pixels scaled twice, or never.

    Raises:
        ModelError: names the range that fits.
    """
    scores = _scores(model, train, {"given": given, **_RANGES})
    best = scaling_search.best(scores)[0]
    if scores[best].accuracy - scores["given"].accuracy > _WRONG_RANGE:
        low, high = given.value(0), given.value(255)
        raise ModelError(
            f"Expected the range of pixels that this model was trained on, got --input-range "
            f"{low:g},{high:g}: accuracy {percent(scores['given'].accuracy)} on "
            f"{_sample_name(train)}, "
            f"and {percent(scores[best].accuracy)} with {best}. Does the model scale pixels "
            f"itself, or not at all? Leave --input-range out, or give that."
        )


def _scores(
    model: Any, train: datasets.Split, scalings: Mapping[str, Scaling]
) -> dict[str, scaling_search.Score]:
    images, labels = _sample(train)
    return {
        name: scaling_search.score(
            model.predict(as_input(images, scaling), verbose=0), labels, "probabilities"
        )
        for name, scaling in scalings.items()
    }


def _sample(train: datasets.Split) -> tuple[NDArray[np.uint8], NDArray[np.unsignedinteger]]:
    """Return some images and labels, at random: folders come a class after the other."""
    order = np.random.default_rng(0).permutation(len(train.images))[: scaling_search.SAMPLE]
    return train.images[order], train.labels[order]


def _sample_name(train: datasets.Split) -> str:
    return f"{min(scaling_search.SAMPLE, len(train.images))} images of {train.name}"


def _answering_probabilities(model: Any, train: datasets.Split) -> Any:
    """Return the model, with a softmax behind it if it answers with logits.

    Raises:
        ModelError: it answers with neither.
    """
    answers = model.predict(as_input(_sample(train)[0]), verbose=0)
    if not np.isfinite(answers).all():
        raise ModelError("Expected a model that answers with numbers, got NaN or infinity.")
    if source_models.answers_probabilities(answers):
        return model
    if answers.min() >= 0 and answers.max() <= 1 and np.ptp(answers) > 0:
        raise ModelError(
            "Expected probabilities that sum to 1, or logits, got scores in 0…1 that do neither; "
            "end the model in a softmax, not a sigmoid."
        )
    inputs = keras.Input(model.inputs[0].shape[1:], name="image")
    return keras.Model(inputs, keras.layers.Softmax()(model(inputs)), name=model.name)


def _write(folder: Path, format: str, precision: str, content: bytes, spec: ModelSpec) -> Artifact:
    path = folder / f"model-{precision}.{format}"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Artifact(path, format, precision, spec, len(content), digest)


def _description(subject: SourceModel, model: Any, spec: ModelSpec) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "architecture": {
            "name": subject.name,
            "parameters": int(sum(np.prod(weight.shape) for weight in model.weights)),
        },
        "labels": list(spec.labels),
        "input": {
            "height": spec.height,
            "width": spec.width,
            "channels": spec.channels,
            "range": list(spec.range),
            "polarity": "white ink on black",
        },
        "training": {**subject.training, "weights_sha256": source_models.weights_sha256(model)},
    }


def _entry(made: _Made, batch: int | None) -> dict[str, Any]:
    verdict = made.verdict
    return {
        "file": verdict.artifact.path.name,
        "format": verdict.artifact.format,
        "precision": verdict.artifact.precision,
        "batch": 1 if verdict.artifact.format == "tflite" else batch,
        "size_bytes": verdict.artifact.size_bytes,
        "sha256": verdict.artifact.sha256,
        "accuracy": verdict.accuracy,
        "agreement": verdict.agreement,
        "max_probability_error": verdict.max_probability_error,
        "mean_probability_error": verdict.mean_probability_error,
        "probability_tolerance": verdict.tolerance,
        "differing_images": list(verdict.differing),
        **made.requirements,
    }


def _tools() -> dict[str, str]:
    converters = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxslim")
    runtimes = ("onnxruntime", "ai-edge-litert")
    return {"edge-mnist": __version__, **tool_versions(*converters, *runtimes)}
