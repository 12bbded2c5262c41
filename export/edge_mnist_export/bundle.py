"""Write a bundle: convert, verify, and only then let it exist."""

from __future__ import annotations

import hashlib
import importlib
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from edge_mnist import __version__, datasets
from edge_mnist.bundle import MANIFEST, SCHEMA, Artifact
from edge_mnist.contract import Contract
from edge_mnist.errors import ModelError
from edge_mnist.files import new_folder

from . import verify
from .calibration import PER_DIGIT, representative
from .frameworks import tool_versions
from .runs import Run

Report = Callable[[str], None]


def load_model(path: Path) -> Any:
    """Load a `.keras` file whose input is an MNIST image and whose output is ten numbers.

    Raises:
        ModelError: it is not a Keras file, cannot be loaded, or is not such a model.
    """
    try:
        model = keras.saving.load_model(path)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"Expected a Keras model at {path}, got something else "
            f"({str(error).splitlines()[0]}); train one with: edge-mnist train"
        ) from error
    shapes = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
    if shapes != [(None, 28, 28, 1), (None, 10)]:
        raise ModelError(
            f"Expected a model from images (28, 28, 1) to 10 probabilities, got {path} with "
            f"{len(model.inputs)} inputs, {len(model.outputs)} outputs and shapes {shapes}."
        )
    return model


def export(
    run: Run,
    source: datasets.Source,
    out: Path,
    *,
    formats: Sequence[str],
    precisions: Sequence[str],
    max_drop: float,
    report: Report,
    show: Report,
) -> None:
    """Write the bundle `out` from a run, every file run on the whole test set first.

    `report` takes progress, `show` the table. Where the gate fails nothing is left behind.

    Raises:
        GateError: a file lost more than `max_drop` percentage points of accuracy.
        ModelError, OutputError, DataError: as the messages say.
    """
    with new_folder(out) as folder:
        model = load_model(run.path / "model.keras")
        seed = int(run.record["recipe"]["seed"])
        calibration = representative(datasets.load(source, "train"), seed=seed)
        reference = verify.reference(model, datasets.load(source, "test"))
        verdicts, details = [], []
        for format in formats:
            # The converters are heavy: each is imported only when its format is asked for.
            converter = importlib.import_module(f".{format}", __package__)
            for precision in precisions:
                report(f"Converting to {precision} {format}")
                content = converter.convert(model, precision=precision, calibration=calibration)
                artifact = _write(folder, format, precision, content)
                verdicts.append(verify.verify(artifact, reference))
                details.append(converter.requirements(content))
        show(verify.text(verdicts, reference))
        verify.gate(verdicts, max_drop=max_drop)
        manifest = _manifest(run, reference, verdicts, details, len(calibration))
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _write(folder: Path, format: str, precision: str, content: bytes) -> Artifact:
    path = folder / f"model-{precision}.{format}"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Artifact(path, format, precision, Contract(), len(content), digest)


def _manifest(
    run: Run,
    reference: verify.Reference,
    verdicts: Sequence[verify.Verdict],
    details: Sequence[dict[str, Any]],
    calibration_images: int,
) -> dict[str, Any]:
    contract = Contract()
    recipe, record = run.record["recipe"], run.record
    return {
        "schema": SCHEMA,
        "architecture": {
            "name": recipe["arch"],
            "activation": recipe["activation"],
            "parameters": record["parameters"],
        },
        "labels": list(contract.labels),
        "input": {
            "height": contract.height,
            "width": contract.width,
            "channels": contract.channels,
            "range": list(contract.range),
            "polarity": "white ink on black",
        },
        "training": {
            "recipe": recipe,
            "data": record["data"]["train"],
            "weights_sha256": record["weights_sha256"],
            "device": record["device"],
            "tools": record["tools"],
        },
        "evaluation": {
            "data": reference.split.name,
            "images": len(reference.split.images),
            "sha256": reference.split.sha256,
            "keras_accuracy": reference.accuracy,
        },
        "calibration": {
            "data": record["data"]["train"]["name"],
            "images": calibration_images,
            "per_digit": PER_DIGIT,
            "seed": recipe["seed"],
        },
        "artifacts": [
            {
                "file": verdict.artifact.path.name,
                "format": verdict.artifact.format,
                "precision": verdict.artifact.precision,
                "size_bytes": verdict.artifact.size_bytes,
                "sha256": verdict.artifact.sha256,
                "accuracy": verdict.accuracy,
                "agreement": verdict.agreement,
                "max_probability_error": verdict.max_probability_error,
                **detail,
            }
            for verdict, detail in zip(verdicts, details, strict=True)
        ],
        "tools": {
            "edge-mnist": __version__,
            **tool_versions(
                "tensorflow",
                "keras",
                "tf2onnx",
                "onnx",
                "onnxslim",
                "onnxruntime",
                "ai-edge-litert",
            ),
        },
    }
