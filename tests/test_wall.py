"""The device package in environments that have nothing of the host side."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from edge_mnist.system import install as install_lines
from tests.conftest import REPOSITORY, Install

HOST_ONLY = {"tensorflow", "keras", "onnx", "tf2onnx", "jax", "edge_mnist_export"}


@pytest.mark.install
@pytest.mark.parametrize(
    ("extra", "runtime"),
    [("litert", "ai_edge_litert"), ("onnx", "onnxruntime"), ("tflite", "tflite_runtime")],
)
def test_the_wheel_predicts_with_one_runtime_and_nothing_of_the_host(
    wheel: Path, install: Install, extra: str, runtime: str, tmp_path: Path
) -> None:
    if extra == "tflite" and sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for Python 3.12 and later")
    environment = tmp_path / "venv"
    done = install(environment, f"{wheel}[{extra}]")
    assert done.returncode == 0, done.stderr
    binaries = environment / "bin"
    digits = REPOSITORY / "examples" / "digits"

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    # As a user would, straight after the installation, from any folder.
    read = run(binaries / "edge-mnist", "predict", digits)
    assert [line.rpartition(": ")[2][0] for line in read.stdout.splitlines()] == list("0123456789")
    script = REPOSITORY / "examples" / "classify.py"
    assert "7" in run(binaries / "python", script, digits / "7.png").stdout
    assert run(binaries / "edge-mnist", "evaluate", "--data", "synthetic", "--limit", "50").stdout
    train = run(binaries / "edge-mnist", "train", "--epochs", "1")
    assert train.returncode == 2
    assert f"install it with: {install_lines.HOST}." in train.stderr
    serve = run(binaries / "edge-mnist", "serve")
    assert serve.returncode == 2
    assert f"install with: {install_lines.extra('serve')}" in serve.stderr
    listed = run(
        *(binaries / "python", "-c"),
        "import importlib.util as u\n"
        f"print(*[m for m in {sorted(HOST_ONLY | {'onnxruntime', 'ai_edge_litert'})} "
        "if u.find_spec(m)])",
    )
    assert set(listed.stdout.split()) <= {runtime}
    assert_nothing_else_came(environment, runtime)


def assert_nothing_else_came(environment: Path, runtime: str) -> None:
    """numpy, Pillow, click and one runtime; the rest is what that runtime itself asks for."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    found = {normal(d.name): d for d in distributions(path=[str(packages)])}
    ours = {"edge_mnist", "numpy", "pillow", "click", runtime}
    allowed, new = set(ours), {runtime}
    while new:
        needs = [need for name in new if name in found for need in found[name].requires or ()]
        asked = {normal(re.split(r"[^\w.-]", n)[0]) for n in needs if "extra ==" not in n}
        new = asked - allowed
        allowed |= asked
    assert ours <= set(found) <= allowed


def test_all_that_serve_brings_is_pure_python() -> None:
    """So that it installs on every Raspberry Pi, whatever wheels others build for it."""
    found = {normal(one.name): one for one in distributions()}
    brought, new = set[str](), {"prometheus_client", "starlette", "uvicorn"}
    while new:
        brought |= new
        needs = [need for name in new for need in found[name].requires or ()]
        asked = {normal(re.split(r"[^\w.-]", n)[0]) for n in needs if "extra ==" not in n}
        # What the markers of other systems and Pythons ask for is not here.
        new = (asked & set(found)) - brought
    assert brought <= {
        *("prometheus_client", "starlette", "uvicorn", "anyio", "idna", "click", "h11"),
        "typing_extensions",
    }
    for name in brought:
        assert "Root-Is-Purelib: true" in (found[name].read_text("WHEEL") or ""), name


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def test_the_wheel_holds_the_package_and_its_models_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"edge_mnist"}
    assert "edge_mnist/bundle/shipped/edge/manifest.json" in names
    assert "edge_mnist/py.typed" in names
    # 520 kB, of which the two shipped bundles are 85 kB.
    assert wheel.stat().st_size < 550_000


def test_no_device_module_names_a_host_module() -> None:
    for path in (REPOSITORY / "edge_mnist").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = {(node.module or "").split(".")[0]}
            else:
                continue
            assert not modules & HOST_ONLY, f"{path}: {modules & HOST_ONLY}"


def test_importing_the_package_imports_no_runtime_and_no_numpy() -> None:
    script = "import sys, edge_mnist\nprint(*sorted(m.split('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "PIL", "click", "onnxruntime", "ai_edge_litert", "tflite_runtime"}
    assert not set(done.stdout.split()) & (heavy | HOST_ONLY)


def test_the_public_names_are_there() -> None:
    import edge_mnist

    for name in edge_mnist.__all__:
        assert getattr(edge_mnist, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = edge_mnist.nothing
