"""Every error in the code has a code, and its wording is the one of `error_messages.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.error_messages import MESSAGES

PACKAGES = (REPOSITORY / "edge_mnist", REPOSITORY / "export" / "edge_mnist_export")
ERRORS = {
    *("BackendError", "BundleError", "DataError", "GateError", "HostError", "ImageError"),
    *(
        "CameraError",
        "ClusterError",
        "ModelError",
        "OutputError",
        "RequestError",
        "ServeError",
        "UnreadError",
    ),
}


def constructed(path: Path) -> Iterator[ast.Call]:
    """Yield the calls that make an error, and the `super().__init__` of errors' own classes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (*ERRORS, "super().__init__"):
            yield node


def template(message: ast.expr) -> str | None:
    """Return a message with {} for its expressions; None for one that is not written here."""
    if isinstance(message, ast.Constant) and isinstance(message.value, str):
        return message.value
    if isinstance(message, ast.BinOp) and isinstance(message.op, ast.Add):
        parts = template(message.left), template(message.right)
        return None if None in parts else "".join(map(str, parts))
    if not isinstance(message, ast.JoinedStr):
        return None
    values = (v.value if isinstance(v, ast.Constant) else "{}" for v in message.values)
    return "".join(map(str, values))


def codes(call: ast.Call) -> list[str]:
    """Return the codes that a call may give: one, or the two of a conditional expression.

    An error that passes on another's code passes on its wording too: it has none of its own.
    """
    value = next((k.value for k in call.keywords if k.arg == "code"), None)
    constants = ast.walk(value) if value else ()
    return [c.value for c in constants if isinstance(c, ast.Constant)]


def messages() -> Iterator[tuple[str, list[str], str]]:
    """Yield the place, the codes and the template of every error."""
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            for call in constructed(path):
                text = template(call.args[-1]) if call.args else None
                if text is not None:
                    yield f"{path.name}:{call.lineno}", codes(call), text


def test_every_error_has_a_code() -> None:
    lacking = [
        f"{path.name}:{call.lineno}"
        for package in PACKAGES
        for path in sorted(package.rglob("*.py"))
        for call in constructed(path)
        if call.args and template(call.args[-1]) and "code" not in {k.arg for k in call.keywords}
    ]
    assert lacking == []


def test_the_table_holds_the_wording_of_every_error() -> None:
    table = {(code, text) for code, texts in MESSAGES.items() for text in texts}
    written = {(code, text) for _, found, text in messages() for code in found}
    assert written - table == set(), "messages that are not in the table"
    assert table - written == set(), "messages of the table that nothing raises"


@pytest.mark.parametrize("code", MESSAGES)
def test_a_message_says_what_was_expected_and_what_came(code: str) -> None:
    for text in MESSAGES[code]:
        assert text.startswith("Expected ") and "\n" not in text
        assert ", got" in text or "got:" in text or ", which" in text
