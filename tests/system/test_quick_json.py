"""JSON is read as `json.loads` reads it, also where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from edge_mnist.bundle import MANIFEST, SHIPPED
from edge_mnist.system.quick_json import parse_json

TEXTS = [
    Path(SHIPPED, MANIFEST).read_text(encoding="utf-8"),
    '{"a": [1, 2.5, -3e2, "\\u00e9\\n", true, false, null], "b": {"c": {}}, "a": "again"}',
    " \n\t[1]\r\n ",
    '"text"',
    "7",
    "[Infinity]",
    "[-Infinity]",
    "[NaN]",
    "[1e999]",
    "12345678901234567890123",
    "{}",
    "",
    "{",
    '{"a": 1,}',
    '{"a" 1}',
    "[1] [2]",
    "[1]\u00a0",
    "\ufeff{}",
    '"\n"',
    '"\\q"',
    "nul",
    "[" * 100_000,
]


def reference(text: str) -> Any:
    """Parse as `json` does, but for the numbers that only Python's JSON has."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name}, which JSON does not have")

    return json.loads(text, parse_constant=refuse)


def outcome(parse: Any, text: str) -> tuple[type, str]:
    """Return the type and the text of the value, or of the error."""
    try:
        value = parse(text)
    except (ValueError, RecursionError) as error:
        # The depth at which Python gives up depends on the caller's.
        return type(error), "" if isinstance(error, RecursionError) else str(error)
    return type(value), repr(value)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:12]))
def test_values_and_errors_are_those_of_json(text: str) -> None:
    assert outcome(parse_json, text) == outcome(reference, text)


def test_a_python_without_the_scanner_reads_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "_json", None)
    for text in TEXTS[:11]:
        assert outcome(parse_json, text) == outcome(reference, text)
