"""Shared by all tests: markers, turns of timing tests, MNIST, and the command line."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_mnist import bundle
from edge_mnist.cli import main as cli_main
from edge_mnist.datasets import synthetic

REPOSITORY = Path(__file__).parents[1]
# The shipped `edge` with its float32 files, for tests that need more than one precision.
WHOLE = REPOSITORY / "tests" / "bundle"
SHIPPED = Path(bundle.SHIPPED)
UV = (sys.executable, "-m", "uv")
Cli = Callable[..., subprocess.CompletedProcess[str]]

# As on most machines: else each of the processes here would compile TensorFlow anew, 10 of 15 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Ray's processes show each other a token. Else it would lie in the home, which tests change.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
# On two busy processors Ray's workers would starve at their niceness of 15.
os.environ.update(RAY_worker_niceness="0")
# Else the wheels' files have its date.
os.environ.pop("SOURCE_DATE_EPOCH", None)


# Markers of tests that the fast loop, `-m "not slow"`, leaves out.
_SLOW = ("train", "fuzz", "timing", "browser", "pi", "install")
# Fixtures that train a model, or use one that was.
_TRAINED = {"run", "tiny", "bundle", "quickstarted"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the markers that follow from others, and from fixtures."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & _TRAINED:
            item.add_marker("train")
        if fixtures & {"wheel", "host_wheel", "install"}:
            item.add_marker("install")
        if item.path.parent.name == "pi":
            item.add_marker("pi")
        if any(item.get_closest_marker(name) for name in _SLOW):
            item.add_marker("slow")
    items.sort(key=_turn_of_file(items))


def _turn_of_file(items: list[pytest.Item]) -> Callable[[pytest.Item], int]:
    """Return a key that puts files of long tests first and those of timing tests last.

    Whoever tests alone waits for what the other workers test, so that should be short.
    """
    timing = {item.path for item in items if item.get_closest_marker("timing")}
    long = ("pi", "train", "install", "fuzz")
    first = {item.path for item in items if any(map(item.get_closest_marker, long))}
    return lambda item: (item.path in timing) - (item.path in first)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a timing test alone: the other workers wait for it, and it waits for their tests."""
    alone = item.get_closest_marker("timing") is not None
    with _turn(item.config, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
        return (yield)


@contextlib.contextmanager
def _turn(config: pytest.Config, kind: int) -> Iterator[None]:
    worker = getattr(config, "workerinput", None)
    if worker is None:
        yield
        return
    path = Path(tempfile.gettempdir()) / f"edge-mnist-{worker['testrunuid']}"
    with path.with_suffix(".gate").open("w") as gate, path.with_suffix(".turn").open("w") as turn:
        # Whoever waits for its turn keeps the gate, so that later ones cannot overtake it.
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(turn, kind)
        if kind == fcntl.LOCK_SH:
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield


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


Install = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def pip(together: Path) -> Path:
    """A Python of this machine with pip, apart from the one that runs the tests."""
    return once(together / "pip", make_venv) / "bin" / "python"


def make_venv(folder: Path) -> None:
    """Create an environment with pip, as `python -m venv` does in ten times as long."""
    command = [*UV, "venv", "--quiet", "--seed", "--python", sys.executable, folder]
    subprocess.run(command, check=True)


@pytest.fixture(scope="session")
def install() -> Install:
    """Install packages into an environment, which is made if need be; without pip in it.

    By uv, which is faster. tests/pi and tests/docs/test_first_minute.py use pip.
    """

    def run(environment: Path, *wanted: str | Path) -> subprocess.CompletedProcess[str]:
        if not environment.exists():
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        command = [*UV, "pip", "install", "--quiet", "--python", environment, *wanted]
        # Not in this repository, whose constraints uv would follow.
        folder = environment.parent
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def wheel(together: Path) -> Path:
    """The device package's wheel, alone in its folder."""
    return _build(DEVICE_SOURCES, together / "wheel")


@pytest.fixture(scope="session")
def host_wheel(together: Path) -> Path:
    """The host package's wheel, alone in its folder."""
    return _build(HOST_SOURCES, together / "host-wheel")


# What the distributions are built from.
DEVICE_SOURCES = tuple(
    REPOSITORY / name
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "edge_mnist")
)
HOST_SOURCES = tuple(
    REPOSITORY / "export" / name
    for name in ("pyproject.toml", "README.md", "LICENSE", "edge_mnist_export")
)


def _build(sources: Sequence[Path], folder: Path) -> Path:
    """Build a wheel, once for all processes, from a copy of what it is built from."""

    def build(folder: Path) -> None:
        out = folder.with_suffix(".out")
        source = copy_sources(sources, folder.with_suffix(".source"))
        subprocess.run([*UV, "build", "--quiet", "--wheel", "--out-dir", out, source], check=True)
        out.rename(folder)

    return next(once(folder, build).glob("*.whl"))


def copy_sources(sources: Sequence[Path], folder: Path) -> Path:
    """Copy files and folders, without what Python compiled, into a new folder."""
    folder.mkdir(parents=True)
    for path in sources:
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, folder)
    return folder


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
        within: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*within, command, *map(str, arguments)],
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


@pytest.fixture(scope="session")
def host() -> Cli:
    """Run `edge-mnist` as the fixture `cli` does, but in this process.

    A process of its own would import TensorFlow again, which takes five seconds. Synthetic digits
    are drawn once: an export of a run takes 30,000 of them, which takes three.
    """
    split = functools.lru_cache(maxsize=8)(synthetic.split)

    def run(
        *arguments: str | Path, cwd: Path | None = None, status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        stdout, stderr = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(cwd or Path.cwd()),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(SystemExit) as ended,
        ):
            patch.setattr(synthetic, "split", split)
            cli_main([*map(str, arguments)])
        assert ended.value.code == status, f"{arguments}: {stdout.getvalue()}\n{stderr.getvalue()}"
        return subprocess.CompletedProcess(
            ["edge-mnist", *arguments], status, stdout.getvalue(), stderr.getvalue()
        )

    return run


# Starts a command, and writes into the file trace what it and its children send.
TRACE = (
    "strace",
    "-f",
    "--seccomp-bpf",
    "-qq",
    "-o",
    "trace",
    "-e",
    "trace=connect,sendto,sendmsg",
)


@functools.cache
def works(*command: str) -> bool:
    """Whether this machine can start programs by such a command."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run((*command, "true"), cwd=folder, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


Counts = tuple[dict[str, int], int, int]


@pytest.fixture(scope="session", autouse=True)
def few_pictures() -> Iterator[Counts]:
    """Let exports in this process choose the rejection threshold on few pictures.

    All of them take half of an export's time. The processes of the fixtures `bundle` and
    `quickstarted` draw them all, and so do tests with the fixture `all_pictures`.
    """
    everything = _draw((dict.fromkeys(("photographs", "form cells", "low resolution"), 3), 4, 4))
    yield everything
    _draw(everything)


@pytest.fixture
def all_pictures(few_pictures: Counts) -> Iterator[None]:
    """Let an export in this process choose as one outside of the tests does."""
    few = _draw(few_pictures)
    yield
    _draw(few)


def _draw(counts: Counts) -> Counts:
    """Draw so many composed pictures, photographs and pictures of each kind without a digit.

    Returns how many there were.
    """
    from edge_mnist_export.verification import non_digits
    from edge_mnist_export.verification import rejection_threshold as threshold

    before = threshold._COMPOSED, threshold._DRAWN, non_digits._PER_KIND
    threshold._COMPOSED, threshold._DRAWN, non_digits._PER_KIND = counts
    for kept in (threshold._pictures, threshold._non_digits):
        kept.cache_clear()
    return before


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


def once(path: Path, make: Callable[[Path], object]) -> Path:
    """Let the first process create `path` while the others wait for it."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make(path)
    return path


@pytest.fixture(scope="session")
def digits(together: Path) -> Path:
    """1,000 drawn digits to calibrate with and 500 to verify with, as a user's own data."""

    def make(path: Path) -> None:
        arrays = {}
        for name, split, count in (("train", "train", 1000), ("test", "test", 500)):
            arrays[f"x_{name}"], arrays[f"y_{name}"] = synthetic.split(split, limit=count)
        part = path.with_name("part.npz")
        np.savez(part, **arrays)
        part.rename(path)

    return once(together / "digits.npz", make)


CLIP_DIGITS = (7, 3, 0)


@pytest.fixture(scope="session")
def frames() -> list[Image.Image]:
    """The frames of a drawn clip of a hand-held page: 20 for each of `CLIP_DIGITS`."""
    from edge_mnist_export.data import drawn_clip

    return list(drawn_clip.frames(CLIP_DIGITS, seconds=0.8))


@pytest.fixture(scope="session")
def clip(together: Path, frames: list[Image.Image]) -> Path:
    """The clip as Motion JPEG."""
    content = b"".join(map(jpeg, frames))
    return once(together / "clip.mjpeg", lambda path: path.write_bytes(content))


@pytest.fixture(scope="session")
def slow_clip(together: Path, frames: list[Image.Image]) -> Path:
    """The clip five times slower, so that a busy machine reads enough frames of each digit."""
    content = b"".join(5 * jpeg(frame) for frame in frames)
    return once(together / "slow.mjpeg", lambda path: path.write_bytes(content))


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


@pytest.fixture(scope="session")
def quickstarted(cli: Cli, together: Path) -> Path:
    """A folder in which README's `edge-mnist quickstart` ran; its output is in stdout, stderr.

    What it sent to a network, which should be nothing, is in trace.
    """

    def run(folder: Path) -> None:
        part = folder.with_suffix(".part")
        part.mkdir()
        within = TRACE if works(*TRACE) else ()
        (part / "examples").symlink_to(REPOSITORY / "examples")
        data = find_mnist()
        env = {"EDGE_MNIST_DATA": str(data)} if data else None
        done = cli("quickstart", cwd=part, env=env, within=within)
        (part / "stdout").write_text(done.stdout)
        (part / "stderr").write_text(done.stderr)
        part.rename(folder)

    return once(together / "quickstart", run)


def drawn_bundle(folder: Path) -> Path:
    """Copy a bundle to `folder`, with the manifest of a model that saw only drawn digits."""
    shutil.copytree(WHOLE, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["training"]["data"]["name"] = "synthetic-train"
    manifest["evaluation"]["data"] = "synthetic-test"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
