"""The choice of an architecture by limits on size and latency."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_mnist_export.training.architecture_search import Candidate, choose, parse_size
from tests.conftest import Cli
from tests.errors import raises
from tests.export.conftest import record


@pytest.mark.slow
@pytest.mark.train
def test_limits_choose_the_architecture_and_say_why(
    cli: Cli, host: Cli, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # tf2onnx sets it in whatever process imports it, this one included.
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    small = ("--data", "synthetic", "--limit", "600", "--epochs", "1")
    done = cli("train", *small, "--max-size", "10KB", "--out", tmp_path / "run")
    assert record(tmp_path / "run")["recipe"]["arch"] == "pico"
    assert "0000 00:00" not in done.stderr  # a line of TensorFlow's log
    lines = {line.split()[0]: line for line in done.stderr.splitlines() if " bytes " in line}
    assert all("too large" in lines[arch] for arch in ("accurate", "edge", "nano"))
    assert "chosen: the most accurate that fits" in lines["pico"]
    asked = ("--int8", "--format", "tflite", "--max-drop", "100", "--min-agreement", "0")
    model = tmp_path / "run" / "model.keras"
    host("export", model, "--data", digits, *asked, "--out", tmp_path / "bundle")
    # The size measured before training is the size of the exported file.
    stated = int(lines["pico"].split()[1].replace(",", ""))
    size = (tmp_path / "bundle" / "model-int8.tflite").stat().st_size
    assert size == pytest.approx(stated, rel=0.01)
    assert size <= 10_000


@pytest.mark.parametrize(
    ("text", "size"), [("10KB", 10_000), ("10 kib", 10_240), ("1.5MB", 1_500_000), ("900", 900)]
)
def test_sizes_have_decimal_and_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_the_most_accurate_that_fits_is_chosen() -> None:
    candidates = [Candidate("a", 400, 50.0), Candidate("b", 25, 10.0), Candidate("c", 12, 7.0)]
    assert choose(candidates, max_bytes=25, max_us=None)[0] == "b"
    assert choose(candidates, max_bytes=400, max_us=9.0)[0] == "c"
    assert choose(candidates, max_bytes=400, max_us=50.0)[0] == "a"
    with raises("model-limits", "11 bytes and 8 µs"):
        choose(candidates, max_bytes=11, max_us=8.0)
