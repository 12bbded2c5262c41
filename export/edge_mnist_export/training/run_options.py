"""Command-line options and a schedule in, the recipe of a training run out."""

from __future__ import annotations

from dataclasses import dataclass

from edge_mnist.classifier import Classifier
from edge_mnist.datasets import Source

from ..runs import Recipe
from . import distillation
from .recipes import Schedule


@dataclass(frozen=True)
class RunOptions:
    """The options of `edge-mnist train` that go into a recipe.

    Attributes:
        arch: the architecture's name.
        activation: of the hidden layers: relu, sigmoid or tanh.
        epochs: None for the schedule's.
        seed: of weights, shuffling and augmentation.
        labels: sparse or one-hot; None for the default of the schedule.
        limit: the number of training images; None for all.
        backend: what Keras trains on: tensorflow or jax.
    """

    arch: str
    activation: str = "relu"
    epochs: int | None = None
    seed: int = 0
    labels: str | None = None
    limit: int | None = None
    backend: str = "tensorflow"


def recipe_for(
    options: RunOptions, schedule: Schedule, data_source: Source, teacher: Classifier | None = None
) -> Recipe:
    """Return the recipe: the options, and the schedule where they are None.

    Args:
        options: what the user asked for.
        schedule: how the architecture is trained.
        data_source: the training data.
        teacher: the model to distil from; None to learn from the labels alone.
    """
    return Recipe(
        arch=options.arch,
        activation=options.activation,
        data=data_source.kind,
        labels=options.labels or ("one-hot" if schedule.augment else "sparse"),
        augment=schedule.augment,
        epochs=options.epochs or schedule.epochs,
        learning_rate=schedule.learning_rate,
        warm_up_epochs=schedule.warm_up_epochs,
        optimizer=schedule.optimizer,
        weight_decay=schedule.weight_decay,
        variants=schedule.variants,
        teacher=distillation.sha256(teacher) if teacher else None,
        temperature=(schedule.temperature or 1.0) if teacher else 1.0,
        seed=options.seed,
        limit=options.limit,
        backend=options.backend,
    )
