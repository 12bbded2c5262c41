"""JSON without NaN."""

from __future__ import annotations

import json
import math

from edge_mnist.system.strict_json import to_json


def test_numbers_that_are_not_finite_become_null() -> None:
    value = {"a": [1.5, math.nan, (math.inf, {"b": -math.inf})], "c": "NaN", "d": True}
    assert json.loads(to_json(value)) == {
        "a": [1.5, None, [None, {"b": None}]],
        "c": "NaN",
        "d": True,
    }
    assert to_json({"a": [0.1, None]}) == json.dumps({"a": [0.1, None]})
