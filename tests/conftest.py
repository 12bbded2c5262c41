"""What all tests share: where MNIST is, and the command line as a user runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_mnist import bundle

REPOSITORY = Path(__file__).parents[1]
# The shipped `edge` with its float32 files, for tests that need more than one precision.
WHOLE = REPOSITORY / "tests" / "bundle"
SHIPPED = Path(bundle.SHIPPED)
Cli = Callable[..., subprocess.CompletedProcess[str]]

# As on most machines: else each of the processes here would compile TensorFlow anew, 10 of 15 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def find_mnist() -> Path | None:
    """Return the folder with the real MNIST, if this machine has it."""
    given = os.environ.get("EDGE_MNIST_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data" / "mnist"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder with the real MNIST; without it the test is skipped."""
    folder = find_mnist()
    if folder is None:
        pytest.skip("needs the real MNIST: set EDGE_MNIST_DATA to a folder that holds it")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device package's wheel, built from a copy of what it is built from."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "edge_mnist"):
        place = REPOSITORY / name
        copy = shutil.copytree if place.is_dir() else shutil.copy
        copy(place, source / name)
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", out, source],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run `edge-mnist` in a process of its own, as a user does."""
    command = Path(sys.executable).with_name("edge-mnist")

    def run(
        *arguments: str | Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        stdin: bytes | None = None,
        status: int = 0,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [command, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=600,
            check=False,
        )
        text = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        assert text.returncode == status, f"{arguments}: {text.stdout}\n{text.stderr}"
        assert "Traceback" not in text.stderr
        return text

    return run


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one error line, and make sure that it is one and that it is the last."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("edge-mnist: error: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == lines[0]
    return lines[0].removeprefix("edge-mnist: error: ")
