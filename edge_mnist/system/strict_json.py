"""A value in, JSON text out: without NaN and infinity, which JSON does not have."""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(value: Any) -> str:
    """Return a value as JSON; `null` in place of a number that is not finite.

    A file that nobody vouches for may state such numbers, for example as a scale.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
