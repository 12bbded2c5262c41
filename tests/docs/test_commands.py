"""The documents' commands and Python code, run as a reader would, in a temporary folder."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, Cli, find_mnist
from tests.docs.blocks import KEYS, LANGUAGES, Block, comparable, read_blocks

SLOW = pytest.mark.slow
TRAIN = (pytest.mark.slow, pytest.mark.train)
DOCUMENTS = {
    "README.md": TRAIN,
    "docs/tutorial.md": TRAIN,
    "docs/how-to/train.md": TRAIN,
    "docs/how-to/several-devices.md": (),
    "docs/how-to/sweep.md": (),
    "docs/how-to/own-keras-model.md": TRAIN,
    "docs/how-to/raspberry-pi-32.md": TRAIN,
    "docs/how-to/foreign-model.md": SLOW,
    "docs/how-to/photographs.md": SLOW,
    "docs/how-to/benchmark.md": SLOW,
    "docs/how-to/camera.md": SLOW,
    "docs/how-to/inspect.md": SLOW,
    "docs/how-to/install-and-roll-back.md": SLOW,
    "docs/how-to/fleet.md": (),
    "docs/how-to/one-page.md": SLOW,
    "docs/how-to/microcontroller.md": SLOW,
    "docs/how-to/notebooks.md": (),
    "docs/how-to/score.md": SLOW,
    "docs/how-to/serve-at-scale.md": SLOW,
    "docs/how-to/trusted-bundles.md": SLOW,
    "docs/how-to/verify.md": (),
    "docs/reference/json.md": SLOW,
    "docs/reference/python.md": (),
}
# Blocks that no test runs, and why. A new one has to be added here.
QUICKSTART = "edge-mnist quickstart"
DEVICE = "needs a device"
FLEET = "needs a fleet"
NOT_RUN = {
    "README.md": [
        "it is the command that runs this test",
        "tests/docs/test_first_minute.py runs it in fresh systems",
    ],
    "docs/tutorial.md": [DEVICE, DEVICE],
    "docs/how-to/photographs.md": ["installs a package"],
    "docs/how-to/train.md": ["takes eight minutes"],
    "docs/how-to/several-devices.md": ["needs two GPUs", "needs JAX", "needs two hosts"],
    "docs/how-to/sweep.md": ["takes minutes, and needs MNIST", "needs several machines"],
    "docs/how-to/foreign-model.md": ["the test has no tests/ folder"],
    "docs/how-to/raspberry-pi-32.md": [DEVICE, DEVICE, DEVICE],
    "docs/how-to/camera.md": ["needs a camera"] * 3,
    "docs/how-to/microcontroller.md": ["needs a C compiler"],
    "docs/how-to/install-and-roll-back.md": ["needs systemd"],
    "docs/how-to/fleet.md": [*[FLEET] * 6, DEVICE],
    "docs/how-to/notebooks.md": ["opens a browser"],
    "docs/how-to/score.md": ["needs a cluster"],
    "docs/how-to/serve-at-scale.md": [
        "needs Triton",
        "needs Triton",
        "tests/serve/test_ray_serve.py runs it",
    ],
    "docs/how-to/verify.md": [
        "needs the files of a release",
        "needs the files of a release",
        "builds in a clone of a release",
    ],
}
# Seconds for one command: the longest trains a CNN for three epochs on two busy cores.
LIMIT_S = 1800
# What needs TensorFlow runs in this process: one of its own would import it again, for ten seconds.
HOST_COMMAND = re.compile(r"edge-mnist (train|export)( [\w./-]+)*\n?")
HOST_PYTHON = re.compile(r"^import (keras|edge_mnist_export)$", re.M)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the pictures that the documents use."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    return tmp_path


@pytest.mark.parametrize(
    "document", [pytest.param(name, marks=marks) for name, marks in DOCUMENTS.items()]
)
def test_the_blocks_of_a_document_run(
    document: str,
    folder: Path,
    host: Cli,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if document.endswith("foreign-model.md") and find_mnist() is None:
        pytest.skip("needs the real MNIST: set EDGE_MNIST_DATA to a folder that holds it")
    if document.endswith("trusted-bundles.md"):  # It writes into the home folder.
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if data := find_mnist():
        monkeypatch.setenv("EDGE_MNIST_DATA", str(data))
    printed = ""
    for block in read_blocks(REPOSITORY / document):
        if block.marker == "run" and block.value.startswith(QUICKSTART):
            printed += quickstart(block.value, folder, request.getfixturevalue("quickstarted"))
        else:
            printed += run(block, folder, host)
        for line in block.output if block.marker != "not run" else ():
            assert comparable(line) in comparable(printed), f"{block.place}: not printed: {line}"


def quickstart(command: str, folder: Path, quickstarted: Path) -> str:
    """Take the session's one run of quickstart; return what it printed.

    A command that names another folder for the run gets the run there: nothing else differs.
    """
    (run,) = (quickstarted / "runs").iterdir()
    options = command.removeprefix(QUICKSTART).split()
    out = Path(options[1]) if options[:1] == ["--out"] else Path("runs", run.name)
    assert len(options) in (0, 2), command
    shutil.copytree(run, folder / out)
    return (quickstarted / "stderr").read_text() + (quickstarted / "stdout").read_text()


def run(block: Block, folder: Path, host: Cli) -> str:
    """Run a block; return what it printed."""
    printed = "".join(shell(command, block, folder, host) for command in block.commands)
    if block.language == "python" and block.marker != "not run":
        printed += python(block, folder)
    elif block.marker == "of":
        actual = json.loads(shell(block.value, block, folder, host).splitlines()[-1])
        assert keys(actual) == keys(json.loads(block.text)), block.place
    return printed


def shell(command: str, block: Block, folder: Path, host: Cli) -> str:
    if HOST_COMMAND.fullmatch(command):
        done = host(*command.split()[1:], cwd=folder)
        return done.stderr + done.stdout
    return process(["bash", "-euo", "pipefail", "-c", command], block, folder)


def python(block: Block, folder: Path) -> str:
    if not HOST_PYTHON.search(block.text):
        return process([sys.executable, "-c", block.text], block, folder)
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def process(command: list[str], block: Block, folder: Path) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REPOSITORY": str(REPOSITORY),
        "EDGE_MNIST_STORE": str(folder / "store"),
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    allowed = (0, 1) if block.marker == "status" else (0,)
    assert done.returncode in allowed, f"{block.place}: {command[-1]}\n{done.stdout}"
    return done.stdout


def keys(value: Any) -> Any:
    """Return the keys of JSON without its values; of a list, those of its first item."""
    if isinstance(value, dict):
        return {key: keys(item) for key, item in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else None


def blocks() -> Iterator[tuple[str, Block]]:
    for document in DOCUMENTS:
        yield from ((document, block) for block in read_blocks(REPOSITORY / document))


def test_every_block_has_a_language_and_a_known_marker() -> None:
    for document, block in blocks():
        assert block.language in LANGUAGES, f"{document}, {block.place}"
        assert block.marker in ("", *KEYS), f"{document}, {block.place}: {block.marker}"


def test_the_blocks_that_are_not_run_are_known() -> None:
    left_out: dict[str, list[str]] = {}
    for name, block in blocks():
        if block.marker == "not run":
            left_out.setdefault(name, []).append(block.value)
    assert left_out == NOT_RUN


def test_how_to_guides_are_all_run() -> None:
    guides = {f"docs/how-to/{path.name}" for path in (REPOSITORY / "docs/how-to").glob("*.md")}
    assert guides <= set(DOCUMENTS)
