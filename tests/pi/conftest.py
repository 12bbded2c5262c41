"""The environments of a Pi, as a user makes them: a venv, and pip with the project's own wheel.

Emulation is slow, so every environment is made, and does all that it is asked, in the background,
one on each processor; the tests wait for what they need.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_mnist import Classifier, datasets
from edge_mnist.datasets import synthetic
from tests.conftest import REPOSITORY, WHOLE, Install, find_mnist
from tests.pi import userland
from tests.pi.userland import SYSTEMS, System

IMAGES = 300  # whose raw outputs are compared
EVALUATED = 100  # by `evaluate`, at most: the raw outputs say more of an arithmetic
LIMIT_S = 600  # of one command, also on a busy machine
ASK = Path(__file__).with_name("ask.py")
BUNDLES = (WHOLE, "nano")
DIGITS = REPOSITORY / "examples" / "digits"
Done = subprocess.CompletedProcess[str]
Outputs = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Setup:
    """What a user of one kind of Pi types, and what must then be there, and nothing else."""

    system: System
    debian: bool  # numpy and Pillow come from Debian
    extras: str
    wheels: tuple[str, ...]
    images: int = IMAGES  # compared by their raw outputs
    pip: bool = True  # whether its pip installs; else the wheels are unpacked, which saves 15 s
    commands: tuple[str, ...] = ("doctor", "predict", "evaluate", "benchmark", "example")

    @property
    def evaluated(self) -> int:
        return min(self.images, EVALUATED)

    @property
    def backends(self) -> list[str]:
        return [*filter(None, self.extras.split(",")), "numpy"]


# No constraint of the project names these: they are the runtimes' own needs.
_LITERT = (
    *("backports.strenum==1.2.8", "flatbuffers==25.12.19", "ml_dtypes==0.6.0"),
    *("protobuf==7.36.2", "tqdm==4.70.1", "typing-extensions==4.16.0"),
)
_TFLITE = (True, "tflite", ("click", "tflite-runtime==2.14.0"))
_NUMPY = (True, "", ("click",))
# The one that takes longest is first.
SETUPS = {
    "64-bit": Setup(
        SYSTEMS["bookworm arm64"],
        False,
        "litert,onnx",
        (
            *("click", "numpy", "pillow", "ai-edge-litert", "onnxruntime"),
            *(*_LITERT, "packaging==26.3"),
        ),
        commands=("doctor", "predict", "evaluate", "example"),
    ),
    "32-bit": Setup(SYSTEMS["bookworm armhf"], *_TFLITE),
    "64-bit Debian": Setup(
        SYSTEMS["bookworm arm64"], *_TFLITE, pip=False, commands=("doctor", "predict", "example")
    ),
    "32-bit trixie": Setup(
        SYSTEMS["trixie armhf"],
        *_NUMPY,
        images=100,
        pip=False,
        commands=("doctor", "predict", "evaluate"),
    ),
    # Its floating point in software is slow, and slower in the emulator.
    "ARMv6": Setup(
        SYSTEMS["bookworm armel"], *_NUMPY, images=30, pip=False, commands=("doctor", "predict")
    ),
}
# pip takes a wheel of any of these; each release of a package chose its own. A wheel of pure
# Python fits each of them.
_PLATFORMS = {
    "armel": ["linux_armv6l"],
    "armhf": ["manylinux_2_34_armv7l"],
    "arm64": [
        f"manylinux_{version}_aarch64" for version in ("2_34", "2_28", "2_27", "2_26", "2_17")
    ]
    + ["manylinux2014_aarch64"],
}


@dataclass
class Pi:
    """One environment in a root, and what it answered to each command."""

    setup: Setup
    root: Path
    venv: Path
    answers: dict[str, Done] = field(default_factory=dict)
    outputs: Outputs = field(default_factory=dict)  # by file and backend, as outputs.py writes them

    def run(self, *command: str | Path, **env: str) -> Done:
        """Run the environment's Python; the emulator stays out of the user's sight."""
        return _run(self.venv / "bin" / "python", *command, cwd=self.venv.parent, **env)

    def edge_mnist(self, *arguments: str | Path, **env: str) -> Done:
        """Run the console script that pip installed."""
        return self.run(self.venv / "bin" / "edge-mnist", *arguments, **env)

    @property
    def packages(self) -> dict[str, str]:
        """What pip put into the environment itself: versions by name, its own tools left out."""
        names = (path.name for path in self.venv.glob("lib/python3*/site-packages/*.dist-info"))
        found = dict(name.removesuffix(".dist-info").split("-", 1) for name in names)
        return {
            name.lower(): version
            for name, version in found.items()
            if name not in ("pip", "setuptools")
        }


def _run(*command: str | Path, cwd: Path | None = None, **env: str) -> Done:
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        # No configuration of this machine's pip or Python reaches into a Pi.
        env={**os.environ, "PYTHONPATH": "", "PIP_CONFIG_FILE": os.devnull, **env},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def _checked(done: Done) -> Done:
    assert done.returncode == 0, f"{done.args}: {done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def roots() -> dict[System, Path]:
    """A root of each system; skips where this machine cannot make them, and says why."""
    missing = userland.missing_commands()
    if missing:
        pytest.skip(
            f"needs {', '.join(missing)}; install them with: "
            f"apt-get install mmdebstrap qemu-user-static"
        )
    try:
        # mmdebstrap mostly waits for a mirror.
        with ThreadPoolExecutor() as pool:
            return dict(
                zip(SYSTEMS.values(), pool.map(userland.root, SYSTEMS.values()), strict=True)
            )
    except userland.UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def wheels(pip: Path) -> dict[str, Path]:
    """Folders with the wheels of each setup, fetched once and kept."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda setup: _wheels(pip, setup), SETUPS.values())
        return dict(zip(SETUPS, found, strict=True))


def _wheels(pip: Path, setup: Setup) -> Path:
    pins = _pins()
    wanted = [name if "==" in name else f"{name}=={pins[name]}" for name in setup.wheels]
    platforms = [f"--platform={name}" for name in _PLATFORMS[setup.system.architecture]]
    version = f"--python-version={setup.system.python}"
    options = ("--only-binary=:all:", "--no-deps", version, *platforms)
    place = userland.cache() / f"wheels-{userland.key(repr((wanted, options)))}"
    if place.is_dir():
        return place
    with tempfile.TemporaryDirectory(prefix=".build-", dir=userland.cache()) as scratch:
        fetch = [pip, *("-m", "pip", "download", "--quiet"), *options, "--dest", scratch, *wanted]
        done = subprocess.run(fetch, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs pip to fetch {', '.join(wanted)}: {done.stderr.strip()[-200:]}")
        shutil.copytree(scratch, whole := Path(f"{scratch}.whole"))
        whole.rename(place)
    return place


def _pins() -> dict[str, str]:
    """The versions that the project's own commands install."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    pins = [
        *project["tool"]["uv"]["constraint-dependencies"],
        *project["dependency-groups"]["host"],
    ]
    return dict(pin.split("==") for pin in pins if "==" in pin)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images for the raw outputs (n, 28, 28): MNIST's test set, or else drawn ones."""
    folder, path = find_mnist(), tmp_path_factory.mktemp("images") / "images.npy"
    if folder:
        source = datasets.find(str(folder), splits=("test",))
        np.save(path, datasets.load(source, "test", limit=IMAGES).images)
    else:
        np.save(path, synthetic.draw(np.arange(IMAGES) % 10, seed=1))
    return path


@pytest.fixture(scope="session")
def pis(
    roots: dict[System, Path],
    wheels: dict[str, Path],
    wheel: Path,
    images: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[Pi]]]:
    """Every setup, at work."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            name: pool.submit(
                _work,
                setup,
                roots[setup.system],
                wheels[name],
                wheel,
                images,
                tmp_path_factory.mktemp("pi"),
            )
            for name, setup in SETUPS.items()
        }


@pytest.fixture(scope="session")
def reference(install: Install, wheel: Path, images: Path) -> Outputs:
    """The same release of tflite-runtime on this machine's own processor, with Debian's numpy."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs Python 3.11, the last with a wheel of tflite-runtime")
    wanted = (f"{wheel}[tflite]", "tflite-runtime==2.14.0", "numpy==1.24.2", "pillow==9.4.0")
    environment = images.with_name("x86")
    done = install(environment, *wanted)
    if done.returncode:
        pytest.skip(f"needs uv to fetch {', '.join(wanted[1:])}: {done.stderr.strip()[-200:]}")
    python = environment / "bin" / "python"
    return _ask(functools.partial(_run, python), environment, images, IMAGES, {}, {})


@pytest.fixture(scope="session")
def arithmetic(images: Path) -> Outputs:
    """The outputs of numpy on this machine's own processor, by the name of the bundle."""
    found = {}
    for bundle in BUNDLES:
        classifier = Classifier(bundle, backend="numpy")
        found[Path(bundle).name] = classifier.session.run(classifier.encode(np.load(images)))
    return found


@pytest.fixture(params=list(SETUPS))
def pi(request: pytest.FixtureRequest, pis: dict[str, Future[Pi]]) -> Pi:
    """One setup that has done its work."""
    return pis[request.param].result()


def _work(setup: Setup, root: Path, wheels: Path, wheel: Path, images: Path, folder: Path) -> Pi:
    """Make an environment as docs/raspberry-pi.md says, and ask it everything."""
    pi = Pi(setup, root, folder / "venv")
    system_packages = ["--system-site-packages"] if setup.debian else []
    make = ("-m", "venv", "--without-pip", *system_packages, pi.venv)
    _checked(_run(root / "usr/bin/python3", *make))
    if setup.pip:
        # The pip that `venv` itself would install: under emulation that takes 30 s.
        _unpack(pi.venv, *(root / "usr/share/python-wheels").glob("*.whl"))
        install_there(pi, wheels, f"{wheel}[{setup.extras}]" if setup.extras else str(wheel))
    else:
        _unpack(pi.venv, *wheels.glob("*.whl"), wheel)
        script = "from edge_mnist.cli import main\nmain()\n"
        (pi.venv / "bin" / "edge-mnist").write_text(script, encoding="utf-8")
    data = str(find_mnist() or "synthetic")
    limit = ("--limit", str(setup.evaluated))
    asked: dict[str, tuple[str | Path, ...]] = {
        "doctor": ("doctor", "--json"),
        "benchmark": (
            *("benchmark", WHOLE, "--runs", "10"),
            *("--json", "benchmark.json", "--html", "benchmark.html"),
        ),
        "predict": ("predict", DIGITS, "--json"),
        "evaluate": ("evaluate", WHOLE, "--data", data, *limit, "--json"),
        "example": (REPOSITORY / "examples" / "classify.py", DIGITS / "7.png"),
    }
    # These two start processes of their own, by the name of the console script's Python.
    for name in {"doctor", "benchmark"} & set(setup.commands):
        pi.answers[name] = pi.edge_mnist(*asked.pop(name))
    rest = {name: asked[name] for name in setup.commands if name in asked}
    pi.outputs = _ask(pi.run, folder, images, setup.images, rest, pi.answers)
    return pi


def _ask(
    run: Callable[..., Done],
    folder: Path,
    images: Path,
    count: int,
    commands: dict[str, tuple[str | Path, ...]],
    answers: dict[str, Done],
) -> Outputs:
    """Run ask.py: fill in the answers to the commands, and return the raw outputs."""
    asked, said, out = (folder / name for name in ("asked.json", "said.json", "outputs.npz"))
    words = {name: [*map(str, command)] for name, command in commands.items()}
    asked.write_text(json.dumps(words), encoding="utf-8")
    _checked(run(ASK, asked, said, images, str(count), out, *BUNDLES))
    for name, (status, stdout, stderr) in json.loads(said.read_text(encoding="utf-8")).items():
        answers[name] = Done(words[name], status, stdout, stderr)
    with np.load(out) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _unpack(venv: Path, *wheels: Path) -> None:
    """Install wheels without pip; without their scripts."""
    (packages,) = venv.glob("lib/python3*/site-packages")
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)


def install_there(pi: Pi, wheels: Path, *wanted: str) -> None:
    """Let the environment's pip install from a folder of wheels.

    pip reads from sys.executable which wheels the system takes, so that has to be the ARM program
    and not its launcher.
    """
    program = pi.venv / "bin" / "python.elf"
    program.symlink_to(userland.program(pi.setup.system, pi.root))
    options = (
        "--no-index",
        f"--find-links={wheels}",
        "--no-compile",
        "--disable-pip-version-check",
    )
    _checked(pi.run("-m", "pip", "install", *options, *wanted, ARGV0=str(program)))
