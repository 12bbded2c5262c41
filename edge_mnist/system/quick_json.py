"""JSON text in, its value out, without the import of `json` where that can be spared."""

from __future__ import annotations

from typing import Any, NoReturn


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name}, which JSON does not have")


class _Options:
    """The options of `json.loads`, as the scanner of CPython takes them."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, staticmethod(_refuse)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text, as `json.loads` does, without NaN and Infinity.

    `json` is a quarter of the import time of `Classifier`: it compiles six regular expressions.
    Where the scanner written in C is missing or stops, `json` reads the text again, or says why it
    cannot.

    Raises:
        ValueError, RecursionError: the text is not JSON, or too deep.
    """
    try:
        import _json  # noqa: PLC2701

        value, end = _json.make_scanner(_Options)(text, 0)  # type: ignore[arg-type]
        if not text[end:].strip(" \t\n\r"):
            return value
    except (ImportError, StopIteration, ValueError):
        pass
    import json

    return json.loads(text, parse_constant=_refuse)
