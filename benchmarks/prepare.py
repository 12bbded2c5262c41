"""Virtual environments and model files of the contenders, kept below benchmarks/.work/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from contenders import OURS, PNNX, Contender

from edge_mnist.bundle import MODELS, SHIPPED
from edge_mnist.errors import EdgeMnistError
from edge_mnist_export import runs

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "benchmarks" / ".work"
Say = Callable[[str], None]


def environments(contenders: Sequence[Contender], say: Say) -> dict[str, Path]:
    """Create missing virtual environments; return the Python of each, by name."""
    pythons = {}
    for contender in contenders:
        folder = WORK / "environments" / contender.environment
        # edge-mnist's environments are created anew, from the working tree.
        if contender.environment not in pythons and (contender.ours or not folder.exists()):
            say(f"Installing {' '.join(contender.packages)}")
            install(folder, [_wheel() if p == OURS else p for p in contender.packages])
        pythons[contender.environment] = folder / "bin" / "python"
    return pythons


def install(folder: Path, packages: Sequence[str], *options: str) -> None:
    """Create a virtual environment, replacing an old one. Raises EdgeMnistError."""
    shutil.rmtree(folder, ignore_errors=True)
    _run([_uv(), "venv", "--quiet", "--python", sys.executable, str(folder)])
    python = str(folder / "bin" / "python")
    try:
        # Run outside the project, whose version constraints do not apply to contenders.
        _run([_uv(), "pip", "install", "-q", "-p", python, *options, *packages], cwd=folder)
    except EdgeMnistError:
        shutil.rmtree(folder)
        raise


def installed_mb(python: Path) -> float:
    """Return the size of the packages installed for a Python, in MB (10⁶ bytes)."""
    packages = next((python.parent.parent / "lib").glob("python*/site-packages"))
    files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc") / 1e6


def models(run: Path | None, data: str, say: Say) -> Path:
    """Return a folder with every contender's models: of a `seed` run, and the shipped ones."""
    folder = WORK / "models"
    chosen = run or _newest_seed()
    if chosen is None:
        say(f"Training seed on {data}")
        _run([_command(), "train", "--arch", "seed", "--data", data], cwd=ROOT)
        chosen = _newest_seed()
    say(f"Exporting {chosen}")
    shutil.rmtree(folder, ignore_errors=True)
    seed = folder / "seed"
    folder.mkdir(parents=True)
    precisions = ("--int8", "--fp16", "--dynamic")
    _run([_command(), "export", str(chosen), *precisions, "--out", str(seed)])
    for name in MODELS:
        shutil.copytree(Path(SHIPPED).parent / name, folder / name)
    shutil.copy(chosen / "model.keras", seed / "model.keras")
    return folder


def convert_mnn(models: Path, python: Path, say: Say) -> None:
    """Convert the float32 ONNX file to MNN's format, with MNN's converter."""
    say("Converting for MNN")
    seed = models / "seed"
    files = ("--modelFile", f"{seed}/model-float32.onnx", "--MNNModel", f"{seed}/model.mnn")
    _run([str(python.parent / "mnnconvert"), "-f", "ONNX", *files, "--bizCode", "x"])


def convert_ncnn(models: Path, say: Say) -> None:
    """Convert the float32 ONNX file to ncnn's format, with pnnx."""
    say("Converting for ncnn")
    folder, scratch = WORK / "environments" / "pnnx", WORK / "pnnx"
    if not folder.exists():
        install(folder, [PNNX], "--no-deps")
    (program,) = folder.glob("lib/python*/site-packages/pnnx/pnnx")
    program.chmod(0o755)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    shutil.copy(models / "seed" / "model-float32.onnx", scratch / "model.onnx")
    _run([str(program), "model.onnx", "inputshape=[1,28,28,1]"], cwd=scratch)
    for suffix in ("param", "bin"):
        shutil.copy(scratch / f"model.ncnn.{suffix}", models / "seed" / f"ncnn.{suffix}")


def _newest_seed() -> Path | None:
    """Return the newest finished run of `seed` in runs/."""
    found = runs.list_runs(ROOT / "runs")
    seeds = (run for run in found if run.finished and run.record["recipe"]["arch"] == "seed")
    return next((run.path for run in seeds), None)


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
            "Expected uv, got none on the path; run: .uv/bin/uv run python benchmarks/run.py"
        )
    return uv


def _command() -> str:
    return str(Path(sys.executable).with_name("edge-mnist"))


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-1500:]
        raise EdgeMnistError(f"Expected this to succeed: {' '.join(command)}; it printed: {output}")
