"""Two benchmark files are compared: a slower program is a regression, noise is none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_mnist.benchmark.compare import Change, compare
from edge_mnist.benchmark.statistics import summary
from tests.benchmark.rows import Rounds, row
from tests.errors import raises


def write_benchmark(path: Path, rounds: Rounds, **more: Any) -> Path:
    line = row() | {"predict_us": summary(rounds), "samples_ns": {"predict": rounds}}
    path.write_text(json.dumps({"schema": 1, "results": [line], **more}))
    return path


def bursts(random: np.random.Generator, *, factor: float = 1.0) -> Rounds:
    """Return rounds of 20 µs on a machine where another process is busy half of the time."""
    rounds = []
    disturbed = False
    for _ in range(100):
        disturbed = disturbed != (random.random() < 0.08)
        level = 20_000 * factor * (1 + (0.15 if disturbed else 0) + 0.01 * random.random())
        tail = random.exponential(300, 40)
        rounds.append([int(level + value) for value in tail])
    return rounds


@pytest.mark.slow
def test_bursts_of_noise_are_no_regression_and_ten_percent_are_one(tmp_path: Path) -> None:
    same, planted, ratios = Counter(), Counter(), []
    for seed in range(20):
        random = np.random.default_rng(seed)
        before = write_benchmark(tmp_path / "a.json", bursts(random))
        again = write_benchmark(tmp_path / "b.json", bursts(random))
        slower = write_benchmark(tmp_path / "c.json", bursts(random, factor=1.10))
        (change,) = compare(before, again).changes
        same[change.verdict(0.05)] += 1
        ratios.append(change.ratio)
        (change,) = compare(before, slower).changes
        planted[change.verdict(0.05)] += 1
    # Without the tenth percentile, some of these pairs would count as regressions.
    assert max(ratios) > 1.10
    assert set(same) == {"within the limit", "unclear"}
    assert set(planted) == {"slower", "unclear"}
    assert planted["slower"] >= 8


@pytest.mark.slow
def test_without_noise_ten_percent_is_always_a_regression(tmp_path: Path) -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        before = write_benchmark(
            tmp_path / "a.json", [[int(x) for x in r] for r in quiet_rounds(random, 1.0)]
        )
        after = write_benchmark(
            tmp_path / "b.json", [[int(x) for x in r] for r in quiet_rounds(random, 1.1)]
        )
        again = write_benchmark(
            tmp_path / "c.json", [[int(x) for x in r] for r in quiet_rounds(random, 1.0)]
        )
        with raises("gate-benchmark-slower", "m.tflite", "litert"):
            compare(before, after).check(0.05)
        compare(before, again).check(0.05)
        (change,) = compare(after, before).changes
        assert change.verdict(0.05) == "faster"


def quiet_rounds(random: np.random.Generator, factor: float) -> Any:
    level = 20_000 * factor * (1 + 0.01 * random.standard_normal((60, 1)))
    return level + random.exponential(300, (60, 40))


@pytest.mark.parametrize(
    ("median_interval", "quiet_interval", "verdict"),
    [
        (None, None, "slower"),
        ((1.06, 1.2), (1.06, 1.2), "slower"),
        ((1.06, 1.2), (0.99, 1.02), "unclear"),
        ((0.99, 1.2), (0.99, 1.02), "unclear"),
        ((0.98, 1.04), (0.99, 1.03), "within the limit"),
        ((0.8, 0.9), (0.8, 0.95), "faster"),
        ((0.98, 1.04), (1.06, 1.2), "unclear"),
        ((0.8, 0.9), (0.99, 1.01), "unclear"),
    ],
)
def test_verdicts(
    median_interval: tuple[float, float] | None,
    quiet_interval: tuple[float, float] | None,
    verdict: str,
) -> None:
    change = Change(("m", "onnx", 1, 1), 10.0, 11.0, median_interval, quiet_interval)
    assert change.verdict(0.05) == verdict


def test_strict_refuses_an_unclear_row(tmp_path: Path) -> None:
    noisy = [[20_000] * 9, [30_000] * 9] * 12
    before = write_benchmark(tmp_path / "a.json", noisy)
    after = write_benchmark(tmp_path / "b.json", noisy)
    comparison = compare(before, after)
    assert [change.verdict(0.05) for change in comparison.changes] == ["unclear"]
    assert "unclear: the noise is larger than the limit" in comparison.text(0.05)
    comparison.check(0.05)
    with raises("gate-benchmark-unclear", "m.tflite on litert"):
        comparison.check(0.05, strict=True)
    steady = write_benchmark(tmp_path / "c.json", [[20_000] * 9] * 12)
    compare(steady, steady).check(0.05, strict=True)


@pytest.mark.parametrize(
    ("hashes", "same_file"),
    [(("1", "1"), True), (("1", "2"), False), (("1", None), None), ((None, None), None)],
)
def test_other_model_files_are_named(
    tmp_path: Path, hashes: tuple[str | None, str | None], same_file: bool | None
) -> None:
    paths = []
    for name, digit in zip("ab", hashes, strict=True):
        line = row() | ({"sha256": digit * 64} if digit else {})
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps({"schema": 1, "results": [line]}))
    comparison = compare(*paths)
    assert [change.same_file for change in comparison.changes] == [same_file]
    named = [w for w in comparison.warnings if w.startswith("not the same model: m.tflite has")]
    assert len(named) == (same_file is False)


def test_a_row_that_fails_in_the_new_file_fails_the_comparison(tmp_path: Path) -> None:
    before = write_benchmark(tmp_path / "a.json", [[20_000]] * 12)
    key = {name: row()[name] for name in ("file", "label", "backend", "threads", "batch")}
    failed = [{**key, "error": "its process died of SIGSEGV"}]
    after = tmp_path / "b.json"
    after.write_text(json.dumps({"schema": 1, "results": [], "failed": failed}))
    with raises("gate-benchmark-failed", "m.tflite, litert, 1, 1: its process"):
        compare(before, after).check(0.05)


@pytest.mark.parametrize("samples", ["[[]]", "[[0]]", "[[1.5]]", "[[true]]", "3", '[["a"]]'])
def test_invalid_samples_are_refused(samples: str, tmp_path: Path) -> None:
    good = write_benchmark(tmp_path / "a.json", [[20_000]] * 12)
    line = row() | {"samples_ns": {"predict": json.loads(samples)}}
    (tmp_path / "b.json").write_text(json.dumps({"schema": 1, "results": [line]}))
    with raises("data-benchmark-schema"):
        compare(good, tmp_path / "b.json")
