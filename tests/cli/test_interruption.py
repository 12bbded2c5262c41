"""Interrupted commands, and streams that cannot be written to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

COMMAND = Path(sys.executable).with_name("edge-mnist")
DIGIT = REPOSITORY / "examples" / "digits" / "7.png"
# Each prints something with little work before it.
PRINTING = (["--help"], ["doctor"], ["predict", str(DIGIT)])


@pytest.mark.parametrize("arguments", PRINTING, ids=lambda arguments: arguments[0])
def test_a_full_stdout_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if not line.startswith("Model: ")]
    assert errors == [
        "edge-mnist: error: Expected to read or write the output, got: No space left on device."
    ]


def test_a_closed_stdout_is_one_line() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" predict "$1" >&-', COMMAND, DIGIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("edge-mnist: error: Expected an open standard output, got")
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_stderr_never_becomes_an_output_file(tmp_path: Path) -> None:
    script = '"$0" predict "$1" --save-preprocessed seen 2>&- <&-'
    done = subprocess.run(
        ["sh", "-c", script, COMMAND, DIGIT], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "seen" / "7.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "interrupted by SIGTERM"),
        (signal.SIGHUP, "interrupted by SIGHUP"),
    ],
)
def test_a_signal_ends_a_command_with_one_line_and_its_status(
    number: signal.Signals, said: str, tmp_path: Path
) -> None:
    # An open pipe: `predict -` waits for a picture.
    process = subprocess.Popen(
        [COMMAND, "predict", "-", "--save-preprocessed", tmp_path / "seen"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    _wait_until_it_reads(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert [line for line in errors.splitlines() if line] == [f"edge-mnist: error: {said}"]


def test_an_ignored_signal_stays_ignored() -> None:
    """As with nohup, and in the background of a shell without job control."""
    process = subprocess.Popen(
        [COMMAND, "predict", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    _wait_until_it_reads(process.pid)
    process.send_signal(signal.SIGHUP)
    answer, _ = process.communicate(DIGIT.read_bytes(), timeout=30)
    assert process.returncode == 0
    assert answer.startswith(b"-: 7")


def _wait_until_it_reads(pid: int) -> None:
    """Wait until a process sleeps in a read from its standard input, a pipe."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        parts = Path(f"/proc/{pid}/syscall").read_text().split()
        if parts[:2] == [str(_READ), "0x0"]:
            return
        time.sleep(0.02)
    raise TimeoutError


_READ = 0 if os.uname().machine == "x86_64" else 63  # the number of the system call `read`
