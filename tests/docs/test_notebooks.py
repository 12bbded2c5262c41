"""The notebooks in examples/notebooks, executed as a reader would, in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupyter_client
import nbclient
import nbformat
import pytest

from edge_mnist.bundle import read_bundle
from edge_mnist.system.info import cpu_model
from tests.conftest import REPOSITORY, Cli
from tests.test_packages import ADDRESS

FOLDER = REPOSITORY / "examples" / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
REFERENCE = REPOSITORY / "benchmarks" / "reference" / "intel-xeon-processor-2.json"
# Seconds for one cell; the longest takes five on two idle cores.
LIMIT_S = 300


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run a kernel in, on this Python and without the user's settings of Jupyter."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    work = tmp_path / "work"
    work.mkdir()
    return work


def execute(name: str, folder: Path, **parameters: Any) -> nbformat.NotebookNode:
    """Run a notebook with other values of its parameters, and return it with its outputs."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    for parameter, value in parameters.items():
        assert f"{parameter} = " in cell.source
        cell.source += f"\n{parameter} = {value!r}"
    client = nbclient.NotebookClient(
        notebook, timeout=LIMIT_S, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


def printed(notebook: nbformat.NotebookNode, stream: str = "stdout") -> str:
    return "".join(output.text for output in outputs(notebook) if output.get("name") == stream)


def shown(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """Return what cells show as `kind`, a MIME type."""
    data = [output.get("data", {}) for output in outputs(notebook)]
    return [item[kind] for item in data if kind in item]


@pytest.mark.train
def test_train_and_export(folder: Path) -> None:
    notebook = execute("train_and_export.ipynb", folder, DATA="synthetic", LIMIT=6000, EPOCHS=3)
    text = printed(notebook)
    # Progress is no error: notebooks colour stderr.
    assert "epoch 3/3" in text and "Converting to int8 tflite" in text
    assert not re.search(r"(INFO|WARNING):(tensorflow|absl)", text + printed(notebook, "stderr"))
    (run_html, bundle_html) = shown(notebook, "text/html")
    assert "test accuracy" in run_html and "data:image/png" in run_html
    accuracy = re.search(r"The int8 file reads (\S+)% of synthetic-test", text)
    assert accuracy and float(accuracy[1]) > 75
    assert f"{accuracy[1]} %" in bundle_html
    assert len(shown(notebook, "image/png")) == 3
    copied = re.search(r"scp -r (\S+) pi@raspberrypi.local:bundle\n.*predict", text)
    assert copied and len(read_bundle(folder / copied[1]).artifacts) == 2


@pytest.mark.train
def test_own_keras_model(folder: Path) -> None:
    notebook = execute("own_keras_model.ipynb", folder, IMAGES=3000, EPOCHS=8)
    text = printed(notebook)
    accuracy = re.search(r"Keras: (\S+)% of 600 test images", text)
    assert accuracy and float(accuracy[1]) > 80
    assert f"float32  accuracy {accuracy[1]}%, the same answer as Keras on 100.00%" in text
    assert "triangle, with a confidence of" in text
    # The lesson: the broken model's int8 file is refused, its float32 file is written.
    assert "Keras gives the same answer on 100.00%" in text
    assert "got: model-int8.tflite dropped" in text
    assert "failed: dropped" in shown(notebook, "text/html")[-1]
    names = [one.name for one in read_bundle(folder / "bundles" / "broken").artifacts]
    assert names == ["model-float32.tflite"]


@pytest.mark.slow
def test_two_boards(folder: Path) -> None:
    notebook = execute("two_boards.ipynb", folder, BOARD_A=str(REFERENCE))
    text = printed(notebook)
    other = json.loads(REFERENCE.read_text(encoding="utf-8"))["environment"]["cpu"]
    assert f"A: {other}, " in text and f"B: {cpu_model()}, " in text
    # The measurement may be disturbed; the comparison of the same files always has a result.
    first, second = re.findall(r"exit status: (\d)", text)
    assert {first, second} <= {"0", "1"}
    assert re.search(r"model-int8.tflite .* \d\.\d+ to \d\.\d+", text)
    assert len(shown(notebook, "image/png")) == 2


@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_a_notebook_is_committed_without_results(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and not cell.get("execution_count"), cell.source
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_a_notebook_opens_and_installs_in_colab(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    link = re.search(
        r"\(https://colab\.research\.google\.com/github/(\S+)\)", notebook.cells[0].source
    )
    place = path.relative_to(REPOSITORY).as_posix()
    assert link and link[1] == f"{ADDRESS.removeprefix('https://github.com/')}/blob/main/{place}"
    install = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert f'address = "git+{ADDRESS}"' in install
    wanted = re.findall(r'"([\w-]+)\S* @ \{address\}(?:#subdirectory=)?(\w*)"', install)
    uses_host = "import edge_mnist_export" in json.dumps(notebook)
    assert wanted == [("edge-mnist", ""), ("edge-mnist-export", "export")][: 1 + uses_host]
    for name, subdirectory in wanted:
        pyproject = REPOSITORY / subdirectory / "pyproject.toml"
        assert tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["name"] == name
    for target in re.findall(rf"\({ADDRESS}/blob/main/([^)#]+)", notebook_text(notebook)):
        assert (REPOSITORY / target).is_file(), target


def notebook_text(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def test_the_guide_lists_every_notebook() -> None:
    guide = (REPOSITORY / "docs" / "how-to" / "notebooks.md").read_text(encoding="utf-8")
    listed = re.findall(r"\(\.\./\.\./examples/notebooks/(\w+\.ipynb)\)", guide)
    assert sorted(listed) == [path.name for path in PATHS]


TRAIN = """
import edge_mnist_export

run = edge_mnist_export.train(
    "pico", data="synthetic", recipe="plain", limit=1200, epochs=20, seed=3
)
print("weights", run.record["weights_sha256"])
"""


@pytest.mark.train
def test_an_interrupted_cell_continues_when_it_runs_again(folder: Path, host: Cli) -> None:
    options = ("--arch", "pico", "--data", "synthetic", "--recipe", "plain", "--limit", "1200")
    host("train", *options, "--epochs", "20", "--seed", "3", "--out", folder / "uninterrupted")
    record = json.loads((folder / "uninterrupted" / "run.json").read_text(encoding="utf-8"))

    manager, client = jupyter_client.manager.start_new_kernel(cwd=str(folder))
    try:
        cell = client.execute(TRAIN)
        deadline_s = time.monotonic() + LIMIT_S
        while not list(folder.glob("runs/*/checkpoint-*.keras")):
            assert time.monotonic() < deadline_s and manager.is_alive()
            time.sleep(0.01)
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=LIMIT_S)
        while reply["parent_header"]["msg_id"] != cell:
            reply = client.get_shell_msg(timeout=LIMIT_S)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        (run,) = folder.glob("runs/*")
        assert not (run / "model.keras").exists()

        messages: list[dict[str, Any]] = []
        status = "aborted"
        # Right after an error the kernel aborts the cells that were waiting.
        while status == "aborted":
            assert time.monotonic() < deadline_s + LIMIT_S
            reply = client.execute_interactive(
                TRAIN, output_hook=messages.append, timeout=LIMIT_S, store_history=False
            )
            status = reply["content"]["status"]
        assert status == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    text = "".join(message["content"].get("text", "") for message in messages)
    assert f"Resuming {run.relative_to(folder)} after epoch" in text
    assert f"weights {record['weights_sha256']}" in text
    assert list(folder.glob("runs/*")) == [run]
