"""A target, a seed and a range of numbers in; the outcomes of these inputs out.

The inputs are tried in a process of its own, which is started again after each crash.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Campaign:
    """The results of a seed's inputs: counts of "fine" and "refused", and the failures.

    Attributes:
        outcomes: the number of inputs by outcome.
        failures: the target, seed and number of each failure, and what happened.
        seconds: the time of all inputs, with the starts of processes.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Campaign) -> None:
        """Add the results of other inputs of the same target."""
        self.outcomes += other.outcomes
        self.failures += other.failures
        self.seconds += other.seconds


def campaign(
    target: str,
    seed: int,
    numbers: range,
    *,
    sound: Path | None = None,
    python: str = sys.executable,
) -> Campaign:
    """Try the inputs of these numbers; each crash takes one more process."""
    result, begin = Campaign(), time.perf_counter()
    start, end = numbers.start, numbers.stop
    while start < end:
        arguments = map(str, (target, seed, start, end, *([sound] if sound else [])))
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                [python, "-m", "tests.fuzz.worker", *arguments],
                cwd=ROOT,
                stdout=out,
                stderr=err,
                check=False,
            )
            out.seek(0)
            err.seek(0)
            last, finished = _read(out.read().splitlines(), result, f"{target} {seed}")
            said = err.read()[-600:]
        if last is None:
            raise RuntimeError(f"the worker did not start: {said}")
        if done.returncode and not finished:
            result.failures.append(f"{target} {seed} {last}: exit {done.returncode}: {said}")
        elif done.returncode:
            raise RuntimeError(f"the worker ended after {target} {seed} {last}: {said}")
        start = last + 1
    result.seconds = time.perf_counter() - begin
    return result


def _read(lines: list[str], result: Campaign, source: str) -> tuple[int | None, bool]:
    """Count the outcomes; return the last input that was begun, and whether it has an outcome."""
    last, finished = None, False
    for line in lines:
        number, _, outcome = line.partition(" ")
        if not number.isdigit():
            continue
        last, finished = int(number), bool(outcome)
        if outcome:
            result.outcomes[outcome.split(":")[0].split(" ")[0]] += 1
            if outcome.startswith("WRONG"):
                result.failures.append(f"{source} {line}")
    return last, finished
