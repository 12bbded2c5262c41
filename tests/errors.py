"""Errors in tests: by their stable code. Their wording stands in `error_messages.py` alone."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator

import pytest

from edge_mnist import EdgeMnistError
from tests.error_messages import MESSAGES


@contextlib.contextmanager
def raises(code: str, *details: str) -> Iterator[pytest.ExceptionInfo[EdgeMnistError]]:
    """Expect an error of that code, whose message holds every one of `details`."""
    with pytest.raises(EdgeMnistError) as info:
        yield info
    assert info.value.code == code, f"{info.value.code}: {info.value}"
    check_message(str(info.value), code, *details)


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error line of a command, and make sure that there is one, the last on stderr."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("edge-mnist: error: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == lines[0]
    return lines[0].removeprefix("edge-mnist: error: ")


def assert_error(done: subprocess.CompletedProcess[str], code: str, *details: str) -> None:
    """Expect that a command ended with the message of a code, which holds every detail."""
    check_message(error_line(done), code, *details)


def check_message(message: str, code: str, *details: str) -> None:
    """Expect one of the messages of a code, with every detail in it."""
    templates = MESSAGES[code]
    assert any(_fits(message, template) for template in templates), f"{message!r}: {templates}"
    for detail in details:
        assert detail in message, message


def _fits(message: str, template: str) -> bool:
    pattern = ".*".join(map(re.escape, " ".join(template.split()).split("{}")))
    return re.fullmatch(pattern, " ".join(message.split()), re.DOTALL) is not None
