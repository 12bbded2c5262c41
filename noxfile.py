"""The project's chores: `.uv/bin/uv run --group dev nox --list` names them.

Each session runs in the environment that uv makes from pyproject.toml, so that versions stand in
one place. `release` alone makes environments of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "test"]

# `uv run` names its own program; without it, uv has to be on the PATH.
UV = (os.environ.get("UV", "uv"),)
RUN = (*UV, "run", "--group", "test")
# The share of lines that the fast tests run, in percent; see [tool.coverage.report].
COVERAGE = ("--cov", "--cov-report=term:skip-covered")


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
def release(session: nox.Session) -> None:
    """Build both distributions, check them, install them into fresh environments, and predict."""
    dist = Path("dist")
    shutil.rmtree(dist, ignore_errors=True)
    for source in (".", "export"):
        session.run(*UV, "build", "--out-dir", str(dist), source)
    files = sorted(map(str, [*dist.glob("*.whl"), *dist.glob("*.tar.gz")]))
    session.run(*UV, "run", "--group", "dev", "twine", "check", "--strict", *files)
    _install_and_run(session, ["--find-links", str(dist), "edge-mnist[host]"], "train", "--help")
    for kind in ("*.whl", "*.tar.gz"):
        device = next(f for f in map(Path, files) if f.match(f"edge_mnist-{kind}"))
        host = next(f for f in map(Path, files) if f.match(f"edge_mnist_export-{kind}"))
        _install_and_run(session, [f"{device}[litert]"], "predict", "examples/digits")
        _install_and_run(session, [f"{device}[onnx]"], "predict", "examples/digits")
        _install_and_run(session, [f"{device}[litert,onnx]", str(host)], "train", "--help")


def _install_and_run(session: nox.Session, packages: list[str], *command: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        session.run(*UV, "venv", "--quiet", "--seed", folder)
        python = Path(folder, "bin", "python")
        # pip, as a user has it: uv would look for the workspace in a source distribution.
        session.run(str(python), "-m", "pip", "install", "--quiet", *packages)
        session.run(str(python.with_name("edge-mnist")), *command)
