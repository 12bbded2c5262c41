"""Write a bundle: convert, verify, and only then let it exist."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from edge_mnist import __version__, datasets, trial
from edge_mnist.bundle import MANIFEST, SCHEMA, Artifact
from edge_mnist.contract import Contract, Scaling
from edge_mnist.errors import DataError
from edge_mnist.files import new_folder
from edge_mnist.tables import percent

from . import subject as subjects
from . import verify
from .calibration import PER_CLASS, representative
from .frameworks import tool_versions
from .gate import Gate, Verdict, check
from .pixels import as_input
from .subject import Subject
from .targets import Target, loads_in

Report = Callable[[str], None]
# What trainers make of pixels; of several that fit equally the first is taken.
_RANGES = {
    "0 to 1": Scaling.between(0, 1),
    "0 to 255": Scaling.between(0, 255),
    "-1 to 1": Scaling.between(-1, 1),
}


@dataclass(frozen=True)
class _Made:
    """One file and what became of it."""

    verdict: Verdict
    requirements: dict[str, Any]


def export(
    subject: Subject,
    source: datasets.Source,
    out: Path,
    *,
    formats: Sequence[str],
    precisions: Sequence[str],
    target: Target,
    gate: Gate,
    report: Report,
    show: Report,
) -> None:
    """Write the bundle `out` from a Keras model, every file run on the whole test set first.

    `report` takes progress, `show` the table. Where the gate fails nothing is left behind.

    Raises:
        GateError: a file lost what `gate` wants kept.
        ModelError, OutputError, DataError: as the messages say.
    """
    with new_folder(out) as folder:
        model = subjects.load(subject)
        shape = tuple(model.inputs[0].shape[1:])
        train = datasets.load(source, "train", shape=shape)
        test = datasets.load(source, "test", shape=shape)
        _check_fits(model, train)
        model = _answering_probabilities(model, train)
        contract = _contract(model, subject, train, report)
        calibration = representative(train, seed=subject.seed)
        reference = verify.reference(model, test, contract.scaling)
        made = []
        for format in formats:
            # The converters are heavy: each is imported only when its format is asked for.
            converter = importlib.import_module(f".{format}", __package__)
            for precision in precisions:
                report(f"Converting to {precision} {format}")
                convert = functools.partial(
                    converter.convert,
                    model,
                    precision=precision,
                    calibration=as_input(calibration, contract.scaling),
                )
                file = Path(f"model-{precision}.{format}")
                content, requirements = _fit(convert, converter, file, target, report)
                artifact = _write(folder, format, precision, content, contract)
                verdict = verify.verify(artifact, reference)
                made.append(_Made(verdict, requirements))
        show(verify.text([entry.verdict for entry in made], reference))
        check([entry.verdict for entry in made], gate)
        manifest = {
            **_description(subject, model, contract),
            "target": target.name,
            "evaluation": {
                "data": test.name,
                "images": len(test.images),
                "sha256": test.sha256,
                "keras_accuracy": reference.accuracy,
            },
            "calibration": {
                "data": train.name,
                "images": len(calibration),
                "per_class": PER_CLASS,
                "seed": subject.seed,
            },
            "artifacts": [_entry(entry) for entry in made],
            "tools": _tools(),
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _fit(
    convert: Callable[..., bytes], converter: ModuleType, file: Path, target: Target, report: Report
) -> tuple[bytes, dict[str, Any]]:
    """Convert so that `target` loads the file; return it with what its manifest entry says.

    Raises:
        ModelError: the target cannot load it, with nothing left to give up.
    """
    format, given_up = file.suffix[1:], None
    content = convert()
    needs = converter.needs(content)
    refusal = target.refusal(format, needs)
    if refusal and (given_up := converter.OLDER.get(file.stem.removeprefix("model-"))):
        report(f"{file} {refusal}: for {target.name} it gets {given_up}")
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


def _contract(model: Any, subject: Subject, train: datasets.Split, report: Report) -> Contract:
    height, width, channels = model.inputs[0].shape[1:]
    scaling = subject.scaling or _find_scaling(model, train, report)
    return Contract(height, width, channels, scaling, train.classes)


def _find_scaling(model: Any, train: datasets.Split, report: Report) -> Scaling:
    """Return what has to be made of pixels, found by trying it on training images."""
    images, labels = train.images[: trial.SAMPLE], train.labels[: trial.SAMPLE]
    scores = {}
    for name, scaling in _RANGES.items():
        probabilities = model.predict(as_input(images, scaling), verbose=0)
        scores[name] = trial.score(probabilities, labels, "probabilities")
    chosen = trial.best(scores)[0]
    tried = ", ".join(f"{name}: {percent(score.accuracy)}" for name, score in scores.items())
    report(
        f"Pixels are taken to be {chosen} for this model; accuracy on {len(images)} images of "
        f"{train.name} with {tried}. --input-range decides otherwise."
    )
    return _RANGES[chosen]


def _answering_probabilities(model: Any, train: datasets.Split) -> Any:
    """Return the model, with a softmax behind it if it answers with logits."""
    images = as_input(train.images[: trial.SAMPLE])
    if subjects.answers_probabilities(model.predict(images, verbose=0)):
        return model
    inputs = keras.Input(model.inputs[0].shape[1:], name="image")
    return keras.Model(inputs, keras.layers.Softmax()(model(inputs)), name=model.name)


def _write(
    folder: Path, format: str, precision: str, content: bytes, contract: Contract
) -> Artifact:
    path = folder / f"model-{precision}.{format}"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Artifact(path, format, precision, contract, len(content), digest)


def _description(subject: Subject, model: Any, contract: Contract) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "architecture": {
            "name": subject.name,
            "parameters": int(sum(np.prod(weight.shape) for weight in model.weights)),
        },
        "labels": list(contract.labels),
        "input": {
            "height": contract.height,
            "width": contract.width,
            "channels": contract.channels,
            "range": list(contract.range),
            "polarity": "white ink on black",
        },
        "training": {**subject.training, "weights_sha256": subjects.weights_sha256(model)},
    }


def _entry(made: _Made) -> dict[str, Any]:
    verdict = made.verdict
    return {
        "file": verdict.artifact.path.name,
        "format": verdict.artifact.format,
        "precision": verdict.artifact.precision,
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
