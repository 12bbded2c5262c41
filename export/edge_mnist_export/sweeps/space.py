"""A space file in, the trials of its sweep out.

    fixed: {recipe: standard, epochs: 4}
    vary:
      arch: [pico, nano]
      learning_rate: [5e-3, 1.6e-2]
      seed: [0, 1]
    asha: {grace_period: 1, reduction_factor: 3}

The keys of `fixed` and `vary` are options of `train`. Those of the data are only in `fixed`, so
that all trials have the same validation images. Every combination is a trial.

`samples: N` draws N trials instead, with `sample_seed`. A value may then also be a distribution of
Ray Tune, such as `{loguniform: [1e-3, 3e-2]}`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_mnist.errors import ModelError
from edge_mnist.system import ray_cluster

_VARY = (
    *("arch", "recipe", "activation", "epochs", "seed", "teacher", "labels"),
    *("learning_rate", "weight_decay", "temperature"),
)
_FIXED = (*_VARY, "data", "size", "limit")
_KEYS = ("fixed", "vary", "samples", "sample_seed", "asha")
# Functions of `ray.tune` that take the two bounds.
_DISTRIBUTIONS = ("uniform", "loguniform", "randint", "lograndint")
_MAX_TRIALS = 10_000
_DIGITS = 4  # of a number that is drawn, so that it fits into a name
_LEADING = ("arch", "recipe")  # the first parts of a name
_NAME_CHARACTERS = 100
_ASHA = {"grace_period": 1, "reduction_factor": 4}  # the defaults of Ray Tune


@dataclass(frozen=True)
class Trial:
    """One training run of a sweep.

    Attributes:
        name: of its folder; unique in the sweep.
        options: of `train`, by the names of its Python interface.
    """

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Asha:
    """The settings of Ray Tune's ASHAScheduler, which stops trials early (Li et al., 2020).

    Attributes:
        grace_period: the epochs that every trial may train.
        reduction_factor: one in so many trials goes on at each rung.
    """

    grace_period: int
    reduction_factor: int


@dataclass(frozen=True)
class Space:
    """A sweep.

    Attributes:
        trials: in their order.
        varied: the names of the options that differ between them.
        asha: None to train every trial to its end.
    """

    trials: tuple[Trial, ...]
    varied: tuple[str, ...]
    asha: Asha | None


def read(path: Path) -> Space:
    """Read a space file, and resolve its trials by Ray Tune.

    Values are not checked here, only that they are there.

    Raises:
        ModelError: the file is malformed, or spans no trial or too many.
        ClusterError: Ray is not installed.
    """
    ray_cluster.load_ray()
    document = _document(path)
    fixed = _options(path, document, "fixed", _FIXED)
    vary = _options(path, document, "vary", _VARY)
    if not vary:
        raise _error(path, "at least one option under vary", "none")
    twice = sorted(set(fixed) & set(vary))
    if twice:
        raise _error(path, "each option under fixed or under vary", f"{twice[0]} under both")
    samples = _integer(path, document, "samples", 1, _MAX_TRIALS)
    seed = _integer(path, document, "sample_seed", 0, 2**32 - 1)
    if samples is None and seed is not None:
        raise _error(path, "sample_seed with samples", "no samples")
    variants = _draw(path, vary, samples, seed or 0) if samples else _grid(path, vary)
    return Space(tuple(_trials(fixed, variants)), tuple(vary), _asha(path, document))


def _error(path: Path, expected: str, got: str) -> ModelError:
    return ModelError(
        f"Expected {expected} in {path}, got {got}; docs/how-to/sweep.md describes the file.",
        code="model-sweep-space",
    )


def _document(path: Path) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads 1e-3 as a number, as YAML 1.2 does."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )
    try:
        document = yaml.load(path.read_text("utf-8-sig"), Loader)
    except OSError as error:
        raise _error(path, "a space file", str(error.strerror or error)) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _error(path, "YAML", " ".join(str(error).split())[:200]) from error
    return _checked_keys(path, document, _KEYS, "the file")


def _checked_keys(path: Path, value: Any, keys: tuple[str, ...], place: str) -> dict[str, Any]:
    """Return a mapping with any of `keys`; dashes in its keys become underscores."""
    if not isinstance(value, dict):
        raise _error(path, f"{', '.join(keys)} as keys of {place}", repr(value)[:80])
    renamed = {str(key).replace("-", "_"): one for key, one in value.items()}
    unknown = [key for key in renamed if key not in keys]
    if unknown:
        raise _error(path, f"{', '.join(keys)} as keys of {place}", unknown[0])
    return renamed


def _options(
    path: Path, document: Mapping[str, Any], key: str, names: tuple[str, ...]
) -> dict[str, Any]:
    value = document.get(key)
    return {} if value is None else _checked_keys(path, value, names, key)


def _integer(
    path: Path, table: Mapping[str, Any], key: str, low: int, high: float = math.inf
) -> int | None:
    value = table.get(key)
    if value is not None and (type(value) is not int or not low <= value <= high):
        raise _error(path, f"{key} to be a whole number of at least {low}", repr(value))
    return value


def _asha(path: Path, document: Mapping[str, Any]) -> Asha | None:
    if "asha" not in document:
        return None
    settings = _ASHA | _checked_keys(path, document["asha"] or {}, tuple(_ASHA), "asha")
    grace_period = _integer(path, settings, "grace_period", 1)
    return Asha(grace_period or 1, _integer(path, settings, "reduction_factor", 2) or 2)


def _grid(path: Path, vary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    from ray import tune

    for name, values in vary.items():
        if not isinstance(values, list) or not values:
            expected = f"a list of values for {name}, or samples to draw from a distribution"
            raise _error(path, expected, repr(values)[:80])
    if math.prod(map(len, vary.values())) > _MAX_TRIALS:
        raise _error(path, f"at most {_MAX_TRIALS:,} trials", "more combinations")
    yield from _variants({name: tune.grid_search(values) for name, values in vary.items()}, None)


def _draw(path: Path, vary: Mapping[str, Any], samples: int, seed: int) -> Iterator[dict[str, Any]]:
    domains = {name: _domain(path, name, value) for name, value in vary.items()}
    random = np.random.RandomState(seed)
    for _ in range(samples):
        for variant in _variants(domains, random):
            yield {name: _plain(value) for name, value in variant.items()}


def _variants(spec: dict[str, Any], random: Any) -> Iterator[dict[str, Any]]:
    from ray.tune.search.variant_generator import generate_variants

    return (variant for _, variant in generate_variants(spec, random_state=random))


def _domain(path: Path, name: str, value: Any) -> Any:
    """Return the search space of an option: a choice from a list, or a distribution."""
    from ray import tune

    if isinstance(value, list) and value:
        return tune.choice(value)
    try:
        ((kind, (low, high)),) = value.items()
        if kind not in _DISTRIBUTIONS or not low < high:
            raise ValueError(kind)
        return getattr(tune, kind)(low, high)
    except (AttributeError, TypeError, ValueError) as error:
        distributions = ", ".join(_DISTRIBUTIONS)
        expected = f"a list for {name}, or one of {distributions} with two bounds, the lower first"
        raise _error(path, expected, repr(value)[:80]) from error


def _plain(value: Any) -> Any:
    """Return what was drawn as Python's own number."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    return value.item() if isinstance(value, np.generic) else value


def _trials(fixed: Mapping[str, Any], variants: Iterator[dict[str, Any]]) -> Iterator[Trial]:
    """Yield the trials; those that are drawn twice, once."""
    seen, names = set(), Counter[str]()
    for variant in variants:
        if repr(variant) in seen:
            continue
        seen.add(repr(variant))
        name = _name({**fixed, **variant}, variant)
        names[name] += 1
        unique = f"{name}-{names[name]}" if names[name] > 1 else name
        yield Trial(unique, {**fixed, **variant})


def _name(options: Mapping[str, Any], variant: Mapping[str, Any]) -> str:
    """Return a name such as edge-full-seed0: architecture, recipe, and the options that vary."""
    leading = [str(options[name]) for name in _LEADING if options.get(name)]
    parts = [
        f"{name}{value}" if isinstance(value, int | float) else f"{name}-{value}"
        for name, value in variant.items()
        if name not in _LEADING
    ]
    name = re.sub(r"[^\w.]+", "-", "-".join([*leading, *parts]))
    return name[:_NAME_CHARACTERS].strip("-.")
