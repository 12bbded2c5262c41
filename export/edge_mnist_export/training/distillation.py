"""The model whose answers a smaller one learns (knowledge distillation, Hinton et al. 2015)."""

from __future__ import annotations

from pathlib import Path

from edge_mnist import Classifier, bundle, datasets
from edge_mnist.errors import ModelError
from edge_mnist.system.info import usable_cpus

SHIPPED = Path(__file__).parent / "teachers" / "accurate"
NONE = "none"
# Measured with two; a bound for machines of many processors.
_MOST_THREADS = 8


def find(given: str | None, source: datasets.Source, *, distill: bool) -> Classifier | None:
    """Return the teacher: `given`, or the shipped one where a recipe distills; None for labels.

    The shipped one teaches on the images that it has learnt itself, and on no others.

    Raises:
        EdgeMnistError: `given` is no bundle and no model file of digits.
    """
    if given == NONE or (given is None and not (distill and _has_learnt(source))):
        return None
    # Rounded to 256 steps, as an int8 file does it, probabilities would teach nothing but digits.
    model, precision = (given, None) if given else (SHIPPED, "dynamic")
    # On an AMD EPYC with AVX2, 340 µs an image with one thread and 191 with two, the same answers.
    teacher = Classifier(model, precision=precision, threads=min(usable_cpus(), _MOST_THREADS))
    if not teacher.spec.digits or teacher.spec.shape != (28, 28):
        raise ModelError(
            f"Expected a teacher that reads digits of 28×28, got {given}, of "
            f"{'×'.join(map(str, teacher.spec.size))} with {len(teacher.labels)} labels."
        )
    return teacher


def sha256(teacher: Classifier) -> str:
    """Return the hash of the teacher's file."""
    return bundle.sha256(teacher.artifact.read())


def _has_learnt(source: datasets.Source) -> bool:
    if source.kind != "mnist":
        return False
    learnt = bundle.read_bundle(SHIPPED).manifest["training"]["data"]["sha256"]
    return bool(datasets.load(source, "train").sha256 == learnt)
