"""Nothing opens a connection that the user did not ask for."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, TRACE, works

# Modules that open a connection, or wait for one.
NETWORK = {
    *("aiohttp", "ftplib", "http.client", "http.server", "httpx", "huggingface_hub", "imaplib"),
    *("poplib", "requests", "smtplib", "socket", "socketserver", "ssl", "urllib.request"),
    *("urllib3", "uvicorn", "webbrowser", "xmlrpc"),
}
NAMESPACES = (("unshare", "-n"), ("unshare", "-rn"))
# Every command that asks for no network, each with the exit status; and the Python interface.
SCRIPT = """
import sys
import click
from edge_mnist import Classifier
from edge_mnist.cli import cli, main
import edge_mnist_export

assert Classifier().predict("7.png").digit == 7
for status, *command in (
    (0, "doctor"),
    (0, "predict", "7.png"),
    (0, "predict", "--backend", "onnx", "7.png"),
    (0, "predict", "--backend", "numpy", "7.png"),
    (0, "evaluate", "--data", "synthetic", "--limit", "50"),
    (0, "inspect"),
    (0, "benchmark", "--runs", "10", "--json", "a.json", "--html", "a.html", "--quiet"),
    (0, "compare", "a.json", "a.json"),
    (0, "report", "--data", "synthetic", "--limit", "50", "--backend", "litert", "--quiet"),
    (0, "camera", "clip.mjpeg", "--json"),
    (2, "camera", "list.mkv", "--json"),
    *((0, name, "--help") for name in cli.list_commands(click.Context(cli))),
):
    try:
        main(list(command))
    except SystemExit as ended:
        assert ended.code == status, (command, ended.code)
"""


NO_STRACE = "needs strace: apt-get install strace"


@pytest.mark.slow
@pytest.mark.skipif(not works(*TRACE), reason=NO_STRACE)
def test_the_device_works_without_a_network_and_tries_none(clip: Path, tmp_path: Path) -> None:
    alone = next((way for way in NAMESPACES if works(*way)), None)
    if alone is None:
        pytest.skip("needs unshare, and the right to make a network namespace")
    shutil.copy(REPOSITORY / "examples" / "digits" / "7.png", tmp_path)
    shutil.copy(clip, tmp_path / "clip.mjpeg")
    # FFmpeg follows such a list, but not from a file to an address.
    (tmp_path / "list.mkv").write_text("ffconcat version 1.0\nfile http://127.0.0.1:9/clip.ts\n")
    command = (*alone, *TRACE, sys.executable, "-c", SCRIPT)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert tried(tmp_path) == []


@pytest.mark.skipif(not works(*TRACE), reason=NO_STRACE)
def test_training_and_export_try_no_connection(mnist: Path, quickstarted: Path) -> None:
    """Seen in README's `edge-mnist quickstart`, where MNIST lies in $EDGE_MNIST_DATA."""
    assert tried(quickstarted) == []


@pytest.mark.skipif(not works(*TRACE), reason=NO_STRACE)
@pytest.mark.parametrize(("family", "address"), [("INET", "127.0.0.1"), ("INET6", "::1")])
def test_a_connection_is_seen(family: str, address: str, tmp_path: Path) -> None:
    connect = f"from socket import *; socket(AF_{family}).connect_ex(('{address}', 9))"
    subprocess.run([*TRACE, sys.executable, "-c", connect], cwd=tmp_path, check=True)
    assert len(tried(tmp_path)) == 1


def tried(folder: Path) -> list[str]:
    """Return the system calls to a network in a trace; sockets of the file system are none."""
    lines = (folder / "trace").read_text(errors="replace").splitlines()
    return [line for line in lines if "AF_INET" in line]


def test_the_list_of_connections_names_every_module_that_can_open_one() -> None:
    """SECURITY.md's table, against what the sources import."""
    importing = set()
    for root in ("edge_mnist", "export/edge_mnist_export"):
        for path in sorted((REPOSITORY / root).rglob("*.py")):
            if _imports(ast.parse(path.read_text(encoding="utf-8"))):
                importing.add(path.relative_to(REPOSITORY).as_posix())
    text = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
    section = text.partition("\n## Connections\n")[2].partition("\n## ")[0]
    assert importing == set(re.findall(r"`((?:edge_mnist|export)/[^`]+\.py)`", section))


def _imports(tree: ast.AST) -> set[str]:
    """Return the modules of `NETWORK` that a source imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found for listed in NETWORK if f"{name}.".startswith(f"{listed}.")}
