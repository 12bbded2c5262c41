"""The options of a training run in; its data, its teacher and its recipe out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edge_mnist import datasets
from edge_mnist.bundle.model_spec import ModelSpec
from edge_mnist.classifier import Classifier
from edge_mnist.datasets import Source, SplitName
from edge_mnist.errors import DataError, ModelError
from edge_mnist.system.progress import Progress

from .. import arguments
from ..frameworks import load_keras
from ..runs import Recipe
from . import distillation, recipes
from .recipes import Schedule

Shape = tuple[int, int, int]
_MAX_SIDE = 10**4  # pixels of an image
_CHOICES = {
    "arch": tuple(recipes.RECIPES),
    "recipe": recipes.NAMES,
    "activation": recipes.ACTIVATIONS,
    "labels": recipes.LABELS,
}
_RANGES = {
    "epochs": (1, 10**6),
    "seed": (0, 2**32 - 1),
    "limit": (recipes.MIN_LIMIT, 2**32),
    "max_bytes": (1, 2**62),
}
_NUMBERS = {
    "learning_rate": (1e-9, 1e3),
    "weight_decay": (0, 1e3),
    "temperature": (0.1, 1e3),
    "max_us": (0,),
}
_REQUIRED = ("activation", "seed")


@dataclass(frozen=True)
class RunOptions:
    """What a user asks of `train`. `api.train` describes each field.

    Attributes:
        backend: what Keras trains on: tensorflow or jax.

    Raises:
        ModelError: a field is not one of its choices, or is out of range.
    """

    arch: str | None = None
    data: str | Path | Mapping[str, NDArray[Any]] = "auto"
    size: Shape | None = None
    recipe: str | None = None
    activation: str = "relu"
    epochs: int | None = None
    seed: int = 0
    teacher: str | Path | None = None
    labels: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    temperature: float | None = None
    limit: int | None = None
    max_bytes: int | None = None
    max_us: float | None = None
    backend: str = "tensorflow"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            self._check(name, arguments.choice, choices)
        for name, bounds in _RANGES.items():
            self._check(name, arguments.integer, *bounds)
        for name, limits in _NUMBERS.items():
            self._check(name, arguments.number, *limits)
        self._check("size", _checked_size)

    def _check(self, name: str, check: Callable[..., Any], *bounds: Any) -> None:
        """Replace a field by its checked value. Most may be None."""
        value = getattr(self, name)
        if value is not None or name in _REQUIRED:
            object.__setattr__(self, name, check(name, value, *bounds))

    @property
    def limited(self) -> bool:
        """Whether limits choose the architecture."""
        return self.max_bytes is not None or self.max_us is not None


@dataclass(frozen=True)
class TrainingPlan:
    """What a run needs, before Keras is loaded.

    Attributes:
        recipe: everything that decides the weights.
        source: the data.
        teacher: the model to distil from; None to learn from the labels.
        settings: the options that repeat the run, for its config.toml.
    """

    recipe: Recipe
    source: Source
    teacher: Classifier | None
    settings: Mapping[str, Any]


def _checked_size(name: str, value: Any) -> Shape:
    expected = "height, width, and 1 or 3 channels"
    parts = arguments.items(name, value, expected)
    if len(parts) != 3 or parts[2] not in (1, 3):
        raise arguments.error(name, expected, value)
    height, width = (arguments.integer(name, part, 1, _MAX_SIDE) for part in parts[:2])
    return height, width, int(parts[2])


def plan(options: RunOptions, progress: Progress, *, test: bool = True) -> TrainingPlan:
    """Locate the data and decide everything that the options leave open.

    Args:
        options: what the user asks for.
        progress: takes lines of progress.
        test: whether the test images are checked too: broken ones are better found now than after
            the training.

    Raises:
        DataError: the data is missing or malformed, or does not fit the recipe.
        ModelError: options contradict each other, or no architecture is within the limits.
    """
    if options.arch and options.limited:
        raise ModelError(
            f"Expected --arch or limits to choose it by, got both; leave --arch {options.arch} "
            f"out.",
            code="model-arch-or-limits",
        )
    splits: tuple[SplitName, ...] = ("train", "test") if test else ("train",)
    source = datasets.find(options.data, splits=splits, own=True)
    shape = _image_shape(options, source, progress)
    arch = options.arch or "edge"
    if options.limited:
        arch = _choose_architecture(options, source, shape, progress)
    name = options.recipe or ("plain" if source.kind == "own" else recipes.default(arch))
    schedule = recipes.schedule(arch, name)
    model = None if options.teacher is None else str(options.teacher)
    teacher = distillation.load_teacher(model, source, distill=schedule.temperature is not None)
    _check_augmentation(options, schedule, source, teaches=teacher is not None)
    recipe = _recipe(options, arch, schedule, source, shape, teacher)
    if test and source.kind == "own":
        datasets.load(source, "test", shape=shape)
    settings = {
        "arch": arch,
        "recipe": name,
        "activation": options.activation,
        "data": _data_option(options, source),
        "size": _size_option(options.size),
        "epochs": recipe.epochs,
        "seed": options.seed,
        "teacher": model,
        "labels": recipe.labels,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "temperature": options.temperature,
        "limit": options.limit,
    }
    return TrainingPlan(recipe, source, teacher, settings)


def _image_shape(options: RunOptions, source: Source, progress: Progress) -> Shape:
    if source.kind != "own":
        return datasets.image_shape(source)
    shape = options.size or datasets.image_shape(source)
    progress.line(f"Images: {'×'.join(map(str, shape[:2]))} {_colour(shape)}")
    return shape


def _colour(shape: Shape) -> str:
    return "grey" if shape[2] == 1 else "in colour"


def _data_option(options: RunOptions, source: Source) -> str | None:
    """Return the data as it was found, so that `auto` means the same again."""
    if options.data in ("auto", "mnist") or source.path is None:
        return None if source.arrays is not None else source.kind
    return str(options.data)


def _size_option(size: Shape | None) -> str | None:
    return "x".join(map(str, size)) if size else None


def _choose_architecture(
    options: RunOptions, source: Source, shape: Shape, progress: Progress
) -> str:
    if options.backend != "tensorflow":
        raise ModelError(
            f"Expected KERAS_BACKEND=tensorflow with --max-size and --max-latency-us, got "
            f"{options.backend}; give the --arch that they choose there.",
            code="model-limits-backend",
        )
    load_keras(options.backend, progress)
    from . import architecture_search

    classes = datasets.load(source, "train", limit=options.limit, shape=shape).classes
    progress.line("Size and latency of untrained int8 models, here on LiteRT with one thread:")
    arch, lines = architecture_search.choose(
        architecture_search.measure(spec=ModelSpec(*shape, labels=classes)),
        max_bytes=options.max_bytes,
        max_us=options.max_us,
    )
    for line in lines:
        progress.line(f"  {line}")
    return arch


def _check_augmentation(
    options: RunOptions, schedule: Schedule, source: Source, *, teaches: bool
) -> None:
    if schedule.augment and source.kind == "own":
        raise DataError(
            f"Expected --recipe plain with data of your own, got {options.recipe}, whose "
            f"augmentation and outliers are made for MNIST's digits; leave --recipe out.",
            code="data-recipe",
        )
    if schedule.augment and options.labels == "sparse":
        raise ModelError(
            "Expected --labels one-hot with an augmented recipe, whose images without a digit have "
            "soft labels, got sparse; leave --labels out.",
            code="model-labels-form",
        )
    if teaches and not schedule.augment:
        raise ModelError(
            "Expected --teacher with an augmented recipe, got one without augmentation; give "
            "--recipe standard too.",
            code="model-teacher-recipe",
        )
    if options.temperature is not None and not teaches:
        raise ModelError(
            "Expected --temperature with a teacher, got a run that learns from the labels alone; "
            "leave it out.",
            code="model-temperature",
        )


def _recipe(
    options: RunOptions,
    arch: str,
    schedule: Schedule,
    source: Source,
    shape: Shape,
    teacher: Classifier | None,
) -> Recipe:
    return Recipe(
        arch=arch,
        activation=options.activation,
        data=source.kind,
        labels=options.labels or ("one-hot" if schedule.augment else "sparse"),
        augment=schedule.augment,
        epochs=options.epochs or schedule.epochs,
        learning_rate=_given(options.learning_rate, schedule.learning_rate),
        warm_up_epochs=schedule.warm_up_epochs,
        optimizer=schedule.optimizer,
        weight_decay=_given(options.weight_decay, schedule.weight_decay),
        variants=schedule.variants,
        teacher=distillation.sha256(teacher) if teacher else None,
        temperature=_given(options.temperature, schedule.temperature or 1.0) if teacher else 1.0,
        seed=options.seed,
        limit=options.limit,
        backend=options.backend,
        **(_own_data(options, source, shape) if source.kind == "own" else {}),
    )


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def _own_data(options: RunOptions, source: Source, shape: Shape) -> dict[str, Any]:
    """Return the fields of a recipe in which a user's own data differs from MNIST."""
    train = datasets.load(source, "train", limit=options.limit, shape=shape)
    if len(train.images) < recipes.MIN_IMAGES:
        raise DataError(
            f"Expected at least {recipes.MIN_IMAGES} training images, one of them for validation, "
            f"got {len(train.images)} in {train.name}; add some.",
            code="data-few",
        )
    sizes = dict(zip(("height", "width", "channels"), shape, strict=True))
    return {"data_sha256": train.sha256, **sizes, "classes": len(train.classes)}
