"""Fuzzing campaign: run `hostile_worker` over mutated files, and restart it after each crash.

A longer campaign than the tests', from a shell:

    python -m tests.foreign_models.hostile KIND SEED COUNT FOLDER BACKEND
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Campaign:
    """The results of a seed's files: counts of "fine" and "refused", and the failures."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def campaign(
    kind: str, seed: int, count: int, folder: Path, backend: str, *, python: str = sys.executable
) -> Campaign:
    """Try `count` files; each crash takes one more process."""
    result, start = Campaign(), 0
    while start < count:
        arguments = map(str, (kind, seed, start, count, folder, backend))
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                [python, "-m", "tests.foreign_models.hostile_worker", *arguments],
                cwd=ROOT,
                stdout=out,
                stderr=err,
                check=False,
            )
            out.seek(0)
            err.seek(0)
            last, finished = _read(out.read().splitlines(), result)
            said = err.read()[-600:]
        if finished or done.returncode == 0:
            start = (last if last is not None else start) + 1
        if done.returncode:
            if last is None:
                raise RuntimeError(f"the worker did not start: {said}")
            result.failures.append(f"{kind} {seed} {last}: exit {done.returncode}: {said}")
            start = last + 1
    return result


def _read(lines: list[str], result: Campaign) -> tuple[int | None, bool]:
    """Count the outcomes; return the last file that was begun, and whether it has an outcome."""
    last, finished = None, False
    for line in lines:
        number, _, outcome = line.partition(" ")
        if not number.isdigit():
            continue
        last, finished = int(number), bool(outcome)
        if outcome:
            result.outcomes[outcome.split(":")[0].split(" ")[0]] += 1
            if outcome.startswith("WRONG"):
                result.failures.append(line)
    return last, finished


if __name__ == "__main__":
    kind, seed, count, folder, backend = sys.argv[1:]
    found = campaign(kind, int(seed), int(count), Path(folder), backend)
    counts = ", ".join(f"{n} {what}" for what, n in found.outcomes.most_common())
    sys.stdout.write(f"{kind} {seed}: {counts}; {len(found.failures)} failures\n")
    for failure in found.failures:
        sys.stdout.write(f"FAILURE {failure}\n")
    sys.exit(bool(found.failures))
