"""The project's chores: `.uv/bin/uv run --group dev nox --list` names them.

Each session runs in the environment that uv makes from pyproject.toml, so that versions stand in
one place. `release` alone makes environments of its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "test"]

# `uv run` names its own program; without it, uv has to be on the PATH.
UV = (os.environ.get("UV", "uv"),)
RUN = (*UV, "run", "--group", "test")
# The share of lines that the fast tests run, in percent; see [tool.coverage.report].
COVERAGE = ("--cov", "--cov-report=term:skip-covered")

DIST = Path("dist")
DEVICE, HOST = "edge_mnist", "edge_mnist_export"
PYTHONS = ("3.11", "3.12", "3.13")
_PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
# Without tflite: its numpy is too old for the other packages.
EXTRAS = tuple(extra for extra in _PROJECT["optional-dependencies"] if extra != "tflite")
# uv finds the versions of [tool.uv], and the hashes of every file of a version, for all processors.
COMPILE = (
    *(*UV, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
    *("--no-emit-package", "edge-mnist", "--no-emit-package", "edge-mnist-export"),
)


@nox.session
def test(session: nox.Session) -> None:
    """Run the fast tests, about a minute: every room, nothing that trains or installs."""
    session.run(*RUN, "pytest", "-m", "not slow", *session.posargs)


@nox.session(name="test-all")
def test_all(session: nox.Session) -> None:
    """Run every test that this machine can run: the README's test command."""
    session.run(*RUN, "pytest", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the fast tests and fail below the coverage floor."""
    session.run(*RUN, "pytest", "-m", "not slow and not timing", *COVERAGE, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and layers."""
    session.run(*RUN, "ruff", "check", ".")
    session.run(*RUN, "ruff", "format", "--check", ".")
    session.run(*RUN, "mypy")
    session.run(*RUN, "lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into site/; any warning is an error."""
    session.run(*UV, "run", "--group", "docs", "mkdocs", "build", "--strict", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the shipped model here, and compare with other tools: see benchmarks/README.md."""
    session.run(*RUN, "edge-mnist", "benchmark", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Fuzz for half an hour, kill commands and let disks fail, cut the power of a store."""
    session.run(*RUN, "python", "-m", "tests.fuzz", "--seconds", "1800")
    session.run(*RUN, "python", "-m", "tests.faults", "--times", "20")
    session.run(*RUN, "python", "-m", "tests.store.power_cut")


@nox.session
def release(session: nox.Session) -> None:
    """Build both distributions twice, install them and predict, and describe them in dist/."""
    shutil.rmtree(DIST, ignore_errors=True)
    built = _build_twice(session)
    files = [str(path) for paths in built.values() for path in paths]
    session.run(*UV, "run", "--group", "dev", "twine", "check", "--strict", *files)
    for device, host in zip(built[DEVICE], built[HOST], strict=True):
        _install_and_run(session, [f"{device}[litert]"], "predict", "examples/digits")
        _install_and_run(session, [f"{device}[onnx]"], "predict", "examples/digits")
        _install_and_run(session, [f"{device}[litert,onnx]", str(host)], "train", "--help")
    pinned = _pin(session, built)
    _resolve_elsewhere(session, pinned.values())
    for extra in ("litert", "onnx"):
        _install_and_run(session, _pip_options(pinned[extra]), "predict", "examples/digits")
    _install_and_run(session, _pip_options(pinned["host"]), "train", "--help")
    _expect_refusal(session, pinned["litert"])
    _write_sbom(session, DEVICE, [pinned[extra] for extra in EXTRAS if extra != "host"])
    _write_sbom(session, HOST, [pinned["host"]])
    sums = [f"{_sha256(path)}  {path.name}\n" for path in sorted(DIST.glob("edge_mnist*"))]
    (DIST / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def _build_twice(session: nox.Session) -> dict[str, list[Path]]:
    """Build the last commit twice, under unlike conditions; return wheel and sdist of each name."""
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder, "again")
        _build(session, Path(folder, "clone"), DIST, 0o022, TZ="UTC", LC_ALL="C")
        _build(session, Path(folder, "b", "clone"), again, 0o077, TZ="Asia/Tokyo", LC_ALL="C.UTF-8")
        first, second = ({p.name: _sha256(p) for p in out.glob("edge*")} for out in (DIST, again))
    if first != second:
        session.error(f"Expected two builds to be the same to the byte, got {first} and {second}")
    kinds = ("any.whl", "tar.gz")
    return {name: [next(DIST.glob(f"{name}-*{kind}")) for kind in kinds] for name in (DEVICE, HOST)}


def _build(session: nox.Session, clone: Path, out: Path, umask: int, **env: str) -> None:
    """Build both distributions from a clone, so that nothing comes in which is not committed.

    Without SOURCE_DATE_EPOCH hatchling writes one and the same date for all files. The bytes then
    follow from the commit and from [tool.uv]'s `build-constraint-dependencies`.
    """
    before = os.umask(umask)
    session.run("git", "clone", "--quiet", ".", str(clone), external=True)
    for source in (clone, clone / "export"):
        command = (*UV, "build", "--quiet", "--out-dir", str(out.absolute()), str(source))
        session.run(*command, env={"SOURCE_DATE_EPOCH": None, **env})
    os.umask(before)


def _pin(session: nox.Session, built: dict[str, list[Path]]) -> dict[str, Path]:
    """Write for each extra what `pip install --require-hashes -r` takes; return the files.

    A package has the same version in all files, so that one can be installed beside another.
    """
    pinned = {}
    version = built[DEVICE][0].name.split("-")[1]
    with tempfile.TemporaryDirectory() as folder:
        together = str(Path(folder, "together.txt"))
        every = [option for extra in EXTRAS for option in ("--extra", extra)]
        session.run(*COMPILE, *every, "--output-file", together, "pyproject.toml")
        for extra in EXTRAS:
            path = pinned[extra] = DIST / f"{DEVICE}-{version}-{extra}.txt"
            options = ("--extra", extra, "--constraint", together, "--output-file", str(path))
            session.run(*COMPILE, *options, "pyproject.toml")
            ours = {f"edge-mnist[{extra}]": built[DEVICE]}
            if extra == "host":
                ours["edge-mnist-export"] = built[HOST]
            with path.open("a", encoding="utf-8") as file:
                for name, files in ours.items():
                    hashes = [f" --hash=sha256:{_sha256(one)}" for one in files]
                    file.write(" \\\n   ".join([f"{name}=={version}", *hashes]) + "\n")
    return pinned


def _resolve_elsewhere(session: nox.Session, pinned: Iterable[Path]) -> None:
    """Make sure that each list has wheels for the Pythons and processors that the docs name."""
    install = (*UV, "pip", "install", "--quiet", "--dry-run", "--only-binary", ":all:")
    with tempfile.TemporaryDirectory() as target:
        for path, python, processor in product(pinned, PYTHONS, ("x86_64", "aarch64")):
            system = (
                "--python-version",
                python,
                "--python-platform",
                f"{processor}-manylinux_2_28",
            )
            session.run(*install, "--target", target, *system, *_pip_options(path))


def _pip_options(*requirements: Path) -> list[str]:
    files = [option for path in requirements for option in ("-r", str(path))]
    return ["--require-hashes", "--find-links", str(DIST), *files]


def _expect_refusal(session: nox.Session, requirements: Path) -> None:
    """Let pip refuse a wheel when the last digits of its hash are others."""
    with tempfile.TemporaryDirectory() as folder:
        session.run(*UV, "venv", "--quiet", "--seed", folder)
        wrong = Path(folder, "wrong.txt")
        wrong.write_text(re.sub(r"[0-9a-f]{4}$", "0000", requirements.read_text(), flags=re.M))
        command = (f"{folder}/bin/python", "-m", "pip", "install", *_pip_options(wrong))
        said = session.run(*command, silent=True, success_codes=[1])
    if "DO NOT MATCH THE HASHES" not in said:
        session.error(f"Expected pip to refuse a wrong hash, got {said}")


def _write_sbom(session: nox.Session, name: str, requirements: list[Path]) -> None:
    """List what these requirements install, with licences, as CycloneDX; its tool validates it."""
    version = requirements[0].name.split("-")[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = str(Path(folder, "venv"))
        session.run(*UV, "venv", "--quiet", environment)
        install = (*UV, "pip", "install", "--quiet", "--python", environment)
        session.run(*install, *_pip_options(*requirements))
        # The tool reads the version of the distribution here, and not from hatchling.
        root = Path("export" if name == HOST else ".", "pyproject.toml").read_text(encoding="utf-8")
        described = Path(folder, "pyproject.toml")
        static = f'version = "{version}"\ndynamic = ["readme"]'
        described.write_text(root.replace('dynamic = ["version", "readme"]', static))
        command = ("cyclonedx-py", "environment", "--output-reproducible", "--mc-type", "library")
        options = ("--pyproject", str(described), "-o", str(DIST / f"{name}-{version}.cdx.json"))
        env = {"SOURCE_DATE_EPOCH": None}
        session.run(*UV, "run", "--group", "dev", *command, *options, environment, env=env)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _install_and_run(session: nox.Session, packages: list[str], *command: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        session.run(*UV, "venv", "--quiet", "--seed", folder)
        python = Path(folder, "bin", "python")
        # pip, as a user has it: uv would look for the workspace in a source distribution.
        session.run(str(python), "-m", "pip", "install", "--quiet", *packages)
        session.run(str(python.with_name("edge-mnist")), *command)
