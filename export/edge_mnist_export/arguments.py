"""An argument of the Python interface in; its value as the rooms expect it, or an error, out."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_mnist.errors import ModelError


def error(name: str, expected: str, value: Any) -> ModelError:
    """Return the error for an argument of a wrong type or range."""
    return ModelError(f"Expected {name} to be {expected}, got {value!r}.", code="model-option")


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return one of some strings.

    Raises:
        ModelError: it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise error(name, ", ".join(choices), value)
    return value


def integer(name: str, value: Any, low: int, high: int) -> int:
    """Return an integer within bounds. numpy's integers become Python's.

    Raises:
        ModelError: it is no integer, or outside the bounds.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise error(name, f"{low} to {high}", value)
    return number


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number within bounds.

    Raises:
        ModelError: it is no number, not finite, or outside the bounds.
    """
    try:
        found = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and low <= found <= high):
        bounds = {math.inf: f"a number of at least {low:g}"}.get(high, f"{low:g} to {high:g}")
        raise error(name, "a finite number" if low == -math.inf else bounds, value)
    return found


def path(name: str, value: Any) -> Path:
    """Return a path.

    Raises:
        ModelError: it is neither a string nor a path.
    """
    if not isinstance(value, str | Path):
        raise error(name, "a path", value)
    return Path(value)


def items(name: str, value: Any, expected: str) -> tuple[Any, ...]:
    """Return the items of a list, a tuple or an array.

    Raises:
        ModelError: it is a string, or holds no items.
    """
    try:
        found = () if isinstance(value, str | bytes) else tuple(value)
    except TypeError:
        found = ()
    if not found:
        raise error(name, expected, value)
    return found
