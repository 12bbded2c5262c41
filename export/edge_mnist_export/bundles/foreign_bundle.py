"""A foreign `.tflite` or `.onnx` file and labelled images in, a bundle that holds the file out.

The stages: check the file, find its scaling and the order of its labels on training images, copy
it unchanged, verify it on the test set in every installed runtime, write. TensorFlow is not
needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_mnist import backends, datasets
from edge_mnist.backends.selection import choose
from edge_mnist.backends.tensor_layout import infer_layout
from edge_mnist.bundle import Artifact, find_artifacts
from edge_mnist.bundle.model_spec import ModelSpec, Scaling
from edge_mnist.classifier import Classifier
from edge_mnist.datasets import Source, Split
from edge_mnist.errors import ModelError
from edge_mnist.evaluation import Evaluation, evaluate
from edge_mnist.evaluation.accuracy import check_classes, classify
from edge_mnist.evaluation.foreign_scaling import ForeignScaling, find_scaling, training_sample
from edge_mnist.system.progress import Progress

from ..conversion import label_order
from ..conversion.converter import requirements
from . import bundle_writer
from .bundle_writer import BundleWriter

# Greatest difference of a probability between a file in a bundle and the same file alone. Both are
# the same computation, but the manifest's range may round a scaling in its last bit.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class ForeignModel:
    """A foreign file, its spec, and its data with the classes in the order of the outputs.

    Attributes:
        classifier: the file, loaded without a manifest.
        scaling: the scaling of its pixels, and how it was found.
        spec: its spec with the names of its outputs.
        train: some training images.
        test: the test set.
    """

    classifier: Classifier
    scaling: ForeignScaling
    spec: ModelSpec
    train: Split
    test: Split


def find(path: Path, *, scaling: Scaling | None = None) -> Artifact:
    """Return the artifact of a foreign file.

    Raises:
        BundleError: there is no such file.
        ModelError: it is no `.tflite` or `.onnx` file, or has a manifest already.
    """
    # Nobody can have signed it yet: it is checked here, and its bundle can be signed.
    (artifact, *_) = find_artifacts(path, trust=False)
    if artifact.spec is not None:
        raise ModelError(
            f"Expected a .tflite or .onnx file without a manifest, got {path}, whose manifest is "
            f"{artifact.path.parent / 'manifest.json'}; copy that folder to the device as it is.",
            code="model-has-manifest",
        )
    return artifact._replace(scaling=scaling)


def bundle(
    artifact: Artifact,
    source: Source,
    out: Path,
    *,
    labels: Sequence[str] | None = None,
    progress: Progress,
) -> list[Evaluation]:
    """Write the bundle `out`, and return the accuracy of the file in every installed runtime.

    Args:
        artifact: from `find`.
        source: its data: training images to find the scaling with, test images to verify with.
        out: the bundle folder, new or empty. It is not created if the file is refused.
        labels: the names of the outputs in order; None for those in the file, if the data have
            them, or else the data's classes in their order.
        progress: takes lines of progress.

    Raises:
        ModelError, DataError, OutputError: as the messages say.
    """
    with bundle_writer.new_bundle(out) as writer:
        progress.line(f"Checking {artifact.name}")
        model = load(artifact, source, labels)
        progress.line(model.scaling.line)
        content = artifact.read()
        signed = writer.sign(
            artifact.name, content, artifact.format, artifact.precision, model.spec
        )
        progress.line(f"Verifying on {len(model.test.images):,} images of {model.test.name}")
        evaluations = verify(signed, model)
        _write(writer, signed, content, model, evaluations)
    return evaluations


def load(artifact: Artifact, source: Source, labels: Sequence[str] | None) -> ForeignModel:
    """Load a foreign file and its data, and find the scaling and the order of the labels."""
    runtime = choose([artifact])[1]
    classifier = Classifier.from_artifact(artifact, runtime)
    spec = classifier.spec
    splits = training_sample(source, spec.size), datasets.load(source, "test", shape=spec.size)
    if labels is None:
        check_classes(classifier, splits[0].classes, data=splits[0].name)
    train, test = (_in_output_order(split, labels, spec) for split in splits)
    scaling = find_scaling(artifact, runtime, train)
    # A scaling that was asked for is the only one.
    predictions = list(scaling.predictions.values()) or [
        classify(classifier, train.images).argmax(axis=1)
    ]
    sample = f"{len(train.images)} images of {train.name}"
    label_order.check(predictions, train.labels, train, sample)
    classifier.rescale(scaling.spec.scaling)
    # Classes that are only numbers get the names asked for.
    spec = scaling.spec._replace(labels=tuple(labels or train.classes))
    return ForeignModel(classifier, scaling, spec, train, test)


def verify(signed: Artifact, model: ForeignModel) -> list[Evaluation]:
    """Run the file on the test set in every installed runtime, as a device does.

    Raises:
        DataError, ModelError: it is no better than chance, or fits other labels far better.
        ModelError: its answers differ from those of the file alone.
    """
    evaluations = []
    for runtime in backends.installed(signed.format):
        _check_answers(Classifier.from_artifact(signed, runtime), model)
        result = evaluate(signed, runtime, model.test)
        sample = f"{result.images:,} images of {model.test.name} on {runtime.backend}"
        predicted = result.probabilities.argmax(axis=1)
        label_order.check([predicted], model.test.labels, model.test, sample)
        evaluations.append(result)
    return evaluations


def _in_output_order(split: Split, labels: Sequence[str] | None, spec: ModelSpec) -> Split:
    """Return the split with its classes in the order of the outputs."""
    if labels is None and set(spec.labels) == set(split.classes):
        labels = spec.labels
    if labels is None or tuple(labels) == split.classes:
        return split
    if split.images.ndim == 3 and spec.shape != split.images.shape[1:]:
        # Imported late: Pillow is needed only to resize.
        from edge_mnist.vision.preprocess import fit

        split = replace(split, images=fit(split.images, spec))
    return label_order.in_output_order(split, labels)


def _check_answers(signed: Classifier, model: ForeignModel) -> None:
    """Compare the answers of the file in the bundle with those of the file alone."""
    bare = model.classifier
    if bare.backend != signed.backend:
        alone = model.scaling.artifact._replace(scaling=model.spec.scaling)
        bare = Classifier.from_artifact(alone, backends.get(signed.backend))
    expected, found = (classify(one, model.train.images) for one in (bare, signed))
    differing = int((np.abs(expected - found).max(axis=1) > _TOLERANCE).sum())
    if differing:
        raise ModelError(
            f"Expected a model that answers the images of a batch as it answers each alone, got "
            f"{signed.artifact.name} with other answers to {differing} of {len(found)} images on "
            f"{signed.backend}; write it with a batch of 1.",
            code="model-batch-mixed",
        )


def _write(
    writer: BundleWriter,
    signed: Artifact,
    content: bytes,
    model: ForeignModel,
    evaluations: Sequence[Evaluation],
) -> None:
    session, spec = model.classifier.session, model.spec
    layout = infer_layout(session.input, session.output, format=signed.format, name=signed.name)
    accuracies = {result.backend: result.accuracy for result in evaluations}
    batch = None if layout.batch == -1 else layout.batch
    entry = bundle_writer.signed_entry(signed, batch=batch, accuracy=evaluations[0].accuracy)
    needs = requirements(signed.format, content)
    runtimes = backends.installed(signed.format)
    writer.finish(
        _describe(signed, model, spec),
        [{**entry, "accuracy_by_backend": accuracies, **needs}],
        tools={runtime.distribution: runtime.version for runtime in runtimes},
    )


def _describe(signed: Artifact, model: ForeignModel, spec: ModelSpec) -> Mapping[str, Any]:
    """Return the manifest's fields on model and data. How it was trained is not known."""
    document = model.scaling.document
    how = {key: document[key] for key in ("found", "data", "images", "tried", "alike")}
    return {
        "architecture": {"name": signed.path.stem},
        "labels": list(spec.labels),
        "input": bundle_writer.input_entry(spec),
        **({} if spec.output == "probabilities" else {"output": spec.output}),
        "scaling": how,
        "evaluation": {
            "data": model.test.name,
            "images": len(model.test.images),
            "sha256": model.test.sha256,
        },
    }
