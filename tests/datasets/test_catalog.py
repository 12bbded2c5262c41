"""Find and load by name, drawn digits in place of MNIST, and the weight of imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edge_mnist.datasets import Source, find, load
from edge_mnist.errors import DataError
from tests.errors import raises


def test_a_missing_path_says_what_else_data_takes(tmp_path: Path) -> None:
    with raises("data-path", "sythetic"):
        find(str(tmp_path / "sythetic"))


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(DataError, match=f"Expected a limit of at least 1 image, got {limit}"):
        load(Source("synthetic", None, 0), "test", limit=limit)


def test_the_stand_in_bears_its_own_name_and_repeats() -> None:
    source = find("synthetic", seed=3)
    split = load(source, "test", limit=50)
    assert source == Source("synthetic", None, 3)
    assert split.name == "synthetic-test"
    assert split.images.shape == (50, 28, 28) and split.images.dtype == np.uint8
    assert split.sha256 == load(source, "test", limit=50).sha256


def test_without_a_network_auto_says_so_and_mnist_raises(
    refused: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert find("auto", seed=4) == Source("synthetic", None, 4)
    out, err = capfd.readouterr()
    assert out == ""
    assert "edge-mnist: warning: MNIST is not available" in err
    assert "EVERY FIGURE BELOW IS OF SYNTHETIC DIGITS, NOT OF MNIST." in err
    assert f"tried {refused}: Connection refused" in err
    assert "set EDGE_MNIST_DATA or --data to a folder" in err
    with pytest.raises(DataError, match=f"got none .*{refused}: Connection refused.*; connect to"):
        find("mnist")


class TestImports:
    HEAVY: ClassVar = ("click", "PIL", "socket", "ssl", "http.client", "urllib.request", "tkinter")

    def loaded(self, statement: str) -> set[str]:
        script = f"import sys\n{statement}\nprint(*sys.modules)"
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        return set(run.stdout.split())

    def test_the_package_is_light(self) -> None:
        loaded = self.loaded("import edge_mnist.datasets")
        assert not loaded & {*self.HEAVY, "numpy"}

    def test_reading_files_needs_no_network_module(self) -> None:
        assert not self.loaded("import edge_mnist.datasets.mnist") & set(self.HEAVY)
