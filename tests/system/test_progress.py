"""Progress lines and the bar, on a pseudo-terminal and in a pipe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from edge_mnist.system.progress import bar_text, remaining_s
from tests.conftest import REPOSITORY
from tests.export.conftest import TINY

COMMAND = Path(sys.executable).with_name("edge-mnist")
STEPS = """
from edge_mnist.system.progress import Progress
progress = Progress(quiet={quiet})
with progress.bar("Working") as show:
    show(0.0, "first")
    progress.line("a line")
    show(1.0, "last")
progress.warn("a warning")
"""
FAILS = """
import sys
from edge_mnist.system.progress import Progress
try:
    with Progress().through([1, 2], 2, "Reading") as items:
        for item in items:
            raise KeyboardInterrupt
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
"""


def on_terminal(*command: str | Path, status: int = 0) -> str:
    """Run a command with its stderr on a terminal of 80 columns; return what that received."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        received = b""
        while part := _read(ours):
            received += part
    os.close(ours)
    assert process.returncode == status, received.decode()
    return received.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 2**16)
    except OSError:  # Linux's answer when the last writer has closed it.
        return b""


def shown_at_the_end(received: str) -> list[str]:
    """Return the lines that a terminal shows: a carriage return goes back, others overwrite."""
    lines = []
    for line in received.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def test_a_bar_appears_on_a_terminal_and_disappears() -> None:
    received = on_terminal(sys.executable, "-c", STEPS.format(quiet=False))
    assert "Working [------------------------] 0%  first" in received
    assert "Working [########################] 100%  last" in received
    assert shown_at_the_end(received) == ["a line", "a warning", ""]
    assert "\x1b" not in received


def test_an_error_erases_the_bar_first() -> None:
    received = on_terminal(sys.executable, "-c", FAILS)
    assert "Reading [------------------------] 0%  0/2" in received
    assert shown_at_the_end(received) == ["interrupted", ""]


def test_a_pipe_gets_lines_alone_and_quiet_leaves_warnings() -> None:
    for quiet, expected in ((False, "a line\na warning\n"), (True, "a warning\n")):
        command = [sys.executable, "-c", STEPS.format(quiet=quiet)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == expected
    assert on_terminal(*command) == "a warning\r\n"


def test_the_remaining_time_is_of_the_speed_since_the_start() -> None:
    assert remaining_s(10, 0.5, 0.5) is None
    # A resumed run: a quarter took 10 s, and a quarter is left.
    assert remaining_s(10, 0.5, 0.75) == 10
    assert bar_text("Training", 0.5, 40, "epoch 2/3") == (
        "Training [############------------] 50%  40 s left  epoch 2/3"
    )
    assert "  2 min left" in bar_text("Training", 0.5, 120, "")
    assert "  2.0 h left" in bar_text("Training", 0.5, 7200, "")


@pytest.mark.train
def test_training_moves_within_an_epoch_and_export_through_its_steps(
    digits: Path, tmp_path: Path
) -> None:
    options = (*TINY, "--limit", "9000", "--out", tmp_path / "run")
    received = on_terminal(COMMAND, "train", *options)
    steps = {part.split("%")[0] for part in received.split("\r") if "epoch 1/2" in part}
    assert len({step for step in steps if step.startswith("Training [")}) > 3
    assert " left  epoch 2/2" in received
    assert "\x1b" not in received
    lines = shown_at_the_end(received)
    assert lines[:2] == ["Loading data: synthetic", "Loading TensorFlow"]
    assert [line.split("  ")[0] for line in lines[4:]] == ["epoch 1/2", "epoch 2/2", ""]
    # Letters have no rejection threshold, which takes 15 s.
    model = (tmp_path / "run" / "model.keras", "--data", digits, "--labels", "a,b,c,d,e,f,g,h,i,j")
    received = on_terminal(
        *(COMMAND, "export", *model, "--format", "tflite", "--out", tmp_path / "bundle")
    )
    for step in ("load", "trace", "float32 tflite", "verify"):
        assert re.search(rf"Exporting \[#*-*\] \d+%.*  {step}", received), step
    assert not any("Exporting" in line for line in shown_at_the_end(received))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "export", "quickstart"])
def test_the_first_line_comes_before_tensorflow(command: str, tmp_path: Path) -> None:
    """The bound leaves room for a busy machine; it took 0.2 s on two cores of an AMD EPYC."""
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as file:
        file.writestr("config.json", "{}")
    arguments = {"export": ["model.keras", "--data", "synthetic"]}.get(
        command, ["--data", "synthetic"]
    )
    began = time.monotonic()
    with subprocess.Popen(
        [COMMAND, command, *arguments],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        took_s = time.monotonic() - began
        process.kill()
    assert first.startswith(b"Loading "), first
    assert took_s < 2


def test_many_pictures_get_a_bar_and_warnings_stay_whole(tmp_path: Path) -> None:
    for number in range(30):
        shutil.copy(REPOSITORY / "examples" / "digits" / "7.png", tmp_path / f"{number:02}.png")
    received = on_terminal(COMMAND, "predict", tmp_path)
    assert "Reading [" in received and "/30" in received
    (model, last) = shown_at_the_end(received)
    assert model.startswith("Model: edge ") and not last
    (tmp_path / "15.png").write_bytes(b"")
    lines = shown_at_the_end(on_terminal(COMMAND, "predict", tmp_path, status=2))
    assert [line.split(":")[1] for line in lines[1:-1]] == [" warning", " error"]
    few = [tmp_path / f"{number:02}.png" for number in range(10)]
    assert shown_at_the_end(on_terminal(COMMAND, "predict", *few)) == [model, ""]


@pytest.mark.parametrize(
    "options",
    [["--data", "synthetic"], pytest.param(["--data", "paper"], marks=pytest.mark.slow)],
)
def test_evaluate_shows_a_bar_unless_quiet(options: list[str]) -> None:
    command = (COMMAND, "evaluate", *options, "--limit", "30")
    received = on_terminal(*command)
    assert "[----" in received and "\x1b" not in received
    (model, last) = shown_at_the_end(received)
    assert model.startswith("Model: edge ") and not last
    assert shown_at_the_end(on_terminal(*command, "-q")) == [model, ""]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == f"{model}\n"
