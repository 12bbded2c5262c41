"""A model's name in, the teacher for knowledge distillation out (Hinton et al. 2015)."""

from __future__ import annotations

from pathlib import Path

from edge_mnist import Classifier, bundle, datasets
from edge_mnist.errors import ModelError
from edge_mnist.system.info import usable_cpus

NONE = "none"
_SHIPPED = Path(__file__).parent / "teachers" / "accurate"
# Upper bound on threads. Only 1 and 2 were measured: 340 and 191 µs per image on an AMD EPYC with
# AVX2, with the same probabilities.
_MAX_THREADS = 8


def load_teacher(model: str | None, source: datasets.Source, *, distill: bool) -> Classifier | None:
    """Load the teacher of a training run.

    Args:
        model: a bundle, a model file, or "none"; None for the shipped teacher. The shipped one
            teaches only the images it was trained on.
        source: the training data.
        distill: whether the recipe uses the shipped teacher.

    Returns:
        None to learn from the labels.

    Raises:
        EdgeMnistError: `model` is not a bundle or a model file that classifies 28×28 digits.
    """
    if model == NONE or (model is None and not (distill and _is_training_data(source))):
        return None
    # Probabilities rounded to int8's 256 steps would say little more than the digit.
    path, precision = (model, None) if model else (_SHIPPED, "dynamic")
    # The shipped teacher is signed with the release key, whatever other keys are trusted.
    trust = None if model else bundle.RELEASE_KEY
    threads = min(usable_cpus(), _MAX_THREADS)
    teacher = Classifier(path, precision=precision, threads=threads, trust=trust)
    if not teacher.spec.digits or teacher.spec.shape != (28, 28):
        raise ModelError(
            f"Expected a teacher that classifies digits of 28×28, got {model} with input "
            f"{'×'.join(map(str, teacher.spec.size))} and {len(teacher.labels)} labels; choose "
            f"another with --teacher.",
            code="model-teacher",
        )
    return teacher


def sha256(teacher: Classifier) -> str:
    """Return the SHA-256 of the teacher's model file."""
    return bundle.sha256(teacher.artifact.read())


def _is_training_data(source: datasets.Source) -> bool:
    """Whether the shipped teacher was trained on these images."""
    if source.kind != "mnist":
        return False
    trained_on = bundle.read_bundle(_SHIPPED, trust=bundle.RELEASE_KEY).manifest["training"][
        "data"
    ]["sha256"]
    return bool(datasets.load(source, "train").sha256 == trained_on)
