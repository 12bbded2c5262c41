"""Environments and model files for the contenders, below benchmarks/.work/, made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from contenders import OURS, PNNX, Contender

from edge_mnist.bundle import SHIPPED
from edge_mnist.errors import EdgeMnistError
from edge_mnist_export import runs

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "benchmarks" / ".work"
Say = Callable[[str], None]


def environments(contenders: Sequence[Contender], say: Say) -> dict[str, Path]:
    """Return the Python of each environment, by name."""
    pythons = {}
    for contender in contenders:
        folder = WORK / "environments" / contender.environment
        # edge-mnist's own is as the working tree is now.
        if contender.environment not in pythons and (contender.ours or not folder.exists()):
            say(f"Installing {' '.join(contender.packages)}")
            install(folder, [_wheel() if p == OURS else p for p in contender.packages])
        pythons[contender.environment] = folder / "bin" / "python"
    return pythons


def install(folder: Path, packages: Sequence[str], *options: str) -> None:
    """Make a virtual environment anew. Raises EdgeMnistError."""
    shutil.rmtree(folder, ignore_errors=True)
    _run([_uv(), "venv", "--quiet", "--python", sys.executable, str(folder)])
    python = str(folder / "bin" / "python")
    try:
        # Elsewhere: this project's own pins are not the contenders'.
        _run([_uv(), "pip", "install", "-q", "-p", python, *options, *packages], cwd=folder)
    except EdgeMnistError:
        shutil.rmtree(folder)
        raise


def installed_mb(python: Path) -> float:
    """Return the size of what is installed beside a Python, in MB (10⁶ bytes)."""
    packages = next((python.parent.parent / "lib").glob("python*/site-packages"))
    files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc") / 1e6


def models(run: Path | None, data: str, say: Say) -> Path:
    """Return a folder with the models of every contender: of a run of `seed`, and the shipped."""
    folder = WORK / "models"
    found = run or next((r.path for r in _seeds() if r.finished), None)
    if found is None:
        found = WORK / "seed"
        say(f"Training seed on {data}, into {found}")
        _run([_command(), "train", "--data", data, "--out", str(found)])
    say(f"Exporting {found}")
    shutil.rmtree(folder, ignore_errors=True)
    seed = folder / "seed"
    folder.mkdir(parents=True)
    precisions = ("--int8", "--fp16", "--dynamic")
    _run([_command(), "export", str(found), *precisions, "--out", str(seed)])
    shutil.copytree(SHIPPED, folder / "edge")
    shutil.copy(found / "model.keras", seed / "model.keras")
    return folder


def convert(models: Path, pythons: dict[str, Path], say: Say) -> None:
    """Make the files of ncnn and MNN of the float32 ONNX file, with their own converters."""
    seed = models / "seed"
    source = seed / "model-float32.onnx"
    say("Converting for MNN and ncnn")
    tool = next(pythons[name] for name in pythons if "mnn" in name.split("-")).parent / "mnnconvert"
    options = ("--modelFile", str(source), "--MNNModel", str(seed / "model.mnn"), "--bizCode", "x")
    _run([str(tool), "-f", "ONNX", *options])
    folder = WORK / "environments" / "pnnx"
    if not folder.exists():
        install(folder, [PNNX], "--no-deps")
    (program,) = folder.glob("lib/python*/site-packages/pnnx/pnnx")
    program.chmod(0o755)
    scratch = WORK / "pnnx"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    shutil.copy(source, scratch / "model.onnx")
    _run([str(program), "model.onnx", "inputshape=[1,28,28,1]"], cwd=scratch)
    for suffix in ("param", "bin"):
        shutil.copy(scratch / f"model.ncnn.{suffix}", seed / f"ncnn.{suffix}")


def _seeds() -> list[runs.Run]:
    paths = sorted((ROOT / "runs").glob("*/run.json"), key=lambda path: -path.stat().st_mtime)
    found = []
    for path in paths:
        try:
            found.append(runs.read(path.parent))
        except EdgeMnistError:
            continue
    return [run for run in found if run.record["recipe"]["arch"] == "seed"]


@lru_cache(maxsize=1)
def _wheel() -> str:
    folder = WORK / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    _run([_uv(), "build", "-q", "--wheel", "--out-dir", str(folder)], cwd=ROOT)
    (wheel,) = folder.glob("edge_mnist-*.whl")
    return str(wheel)


def _uv() -> str:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise EdgeMnistError(
            "Expected uv, got none on the path; run: python3 -m uv run python benchmarks/run.py"
        )
    return uv


def _command() -> str:
    return str(Path(sys.executable).with_name("edge-mnist"))


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1500:]
        raise EdgeMnistError(f"Expected this to succeed: {' '.join(command)}; it said: {said}")
