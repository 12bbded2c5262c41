"""The campaign's short form: fixed seeds, about 45 seconds of processor time in all.

`python -m tests.fuzz` runs longer. A failure names its target, seed and number.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.campaign import campaign
from tests.fuzz.failures import FAILURES
from tests.fuzz.targets import TARGETS, available, sound_files
from tests.fuzz.worker import SECONDS, left, outcome, watched

# Inputs of each target. These run in a process of their own, because a runtime may end it.
IN_A_PROCESS = {"litert": 60, "litert-listed": 60, "tflite": 60, "onnx": 150, "onnx-listed": 150}
# These are Python and Pillow.
IN_THIS_PROCESS = {
    "parse-tflite": 600,
    "parse-onnx": 600,
    "numpy": 30,
    "numpy-listed": 30,
    "tampered": 200,
    "manifest": 300,
    "keys": 500,
    "picture": 600,
    "array": 1000,
    "idx": 200,
    "npz": 400,
    "http": 800,
}
SEED = 22


@pytest.mark.fuzz
@pytest.mark.parametrize("name", IN_A_PROCESS)
def test_no_file_ends_a_runtime(name: str) -> None:
    if not available(name):
        pytest.skip(f"needs the runtime of {name}")
    result = campaign(name, SEED, range(IN_A_PROCESS[name]))
    assert not result.failures, "\n".join(result.failures)
    _check_outcomes(result.outcomes, IN_A_PROCESS[name])


@pytest.mark.fuzz
@pytest.mark.parametrize("name", IN_THIS_PROCESS)
def test_every_input_is_answered_or_refused_in_a_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = _try(name, [(SEED, n) for n in range(IN_THIS_PROCESS[name])], tmp_path, monkeypatch)
    _check_outcomes(outcomes, IN_THIS_PROCESS[name])


@pytest.mark.fuzz
@pytest.mark.parametrize("name", FAILURES)
def test_what_failed_once_fails_no_more(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _try(name, [(seed, number) for seed, number, _ in FAILURES[name]], tmp_path, monkeypatch)


def _try(
    name: str, numbers: list[tuple[int, int]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Counter[str]:
    """Try inputs in this process; return the counts of the outcomes."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", os.environ["HOME"])
    monkeypatch.setattr(tempfile, "tempdir", None)
    outcomes: Counter[str] = Counter()
    with watched(folder) as inputs:
        target = TARGETS[name](inputs, sound_files(None))
        for seed, number in numbers:
            faulthandler.dump_traceback_later(SECONDS, exit=True, file=sys.__stderr__)
            given = target.make(Random(f"{name} {seed} {number}"))
            said = outcome(target, given) or left(folder) or "fine"
            faulthandler.cancel_dump_traceback_later()
            assert not said.startswith("WRONG"), f"{name} {seed} {number}: {said}"
            outcomes[said.partition(" ")[0]] += 1
    return outcomes


def _check_outcomes(outcomes: Counter[str], count: int) -> None:
    """Without inputs of both outcomes a campaign proves nothing."""
    assert sum(outcomes.values()) == count
    assert outcomes["fine"] > count // 200
    assert outcomes["refused"] > count // 10


def test_the_same_seed_makes_the_same_inputs(tmp_path: Path) -> None:
    sound = sound_files(None)
    for name in ("parse-tflite", "parse-onnx", "manifest", "keys", "picture", "npz", "http"):
        made = []
        for number in range(2):
            (tmp_path / f"{name}{number}").mkdir()
            target = TARGETS[name](tmp_path / f"{name}{number}", sound)
            made.append([target.make(Random(f"{name} {n}")) for n in range(30)])
        assert made[0] == made[1]


def test_a_wrong_outcome_is_seen(tmp_path: Path) -> None:
    """Each rule of the campaign finds what breaks it."""

    class Wrong:
        sound = ()

        def make(self, random: Random) -> object:
            return None

        def run(self, given: object) -> None:
            if isinstance(given, Exception):
                raise given

    from edge_mnist import DataError

    assert outcome(Wrong(), DataError("Expected A, got B.")).startswith("refused")
    for error in (ValueError("x"), DataError("no"), DataError("Expected\nx"), MemoryError()):
        assert outcome(Wrong(), error).startswith("WRONG")
    with watched(tmp_path):
        assert not left(tmp_path)
        for place in ("here/x", "tmp/x", "home/x", "x"):
            (tmp_path / place).write_text("x")
            assert left(tmp_path).startswith("WRONG wrote")
            (tmp_path / place).unlink()
