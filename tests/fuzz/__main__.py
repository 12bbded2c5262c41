"""Run the fuzzing campaign from a shell.

    python -m tests.fuzz [--seconds N] [--seed S] [--sound DIR] [TARGET...]

The targets take turns of the same length. Where Atheris is installed, the targets that are pure
Python are also fuzzed with its guidance by coverage, for as long again.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

from .campaign import ROOT, Campaign, campaign
from .targets import GUIDED, TARGETS, available

# Seconds of the first turn of a target, whose speed is not known yet; and its inputs.
_FIRST = 20


def main() -> int:
    """Return 1 if an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="in all, without Atheris")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sound", type=Path, help="a folder of more sound model files")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"expected targets of {', '.join(TARGETS)}, got {', '.join(unknown)}")
    names = [name for name in given.targets or TARGETS if available(name)]
    failed = False
    for name in names:
        result = _for_seconds(name, given.seed, given.seconds / len(names), given.sound)
        failed |= bool(result.failures)
        _print(name, given.seed, result)
    if importlib.util.find_spec("atheris") is None:
        _say("Atheris is not installed: only the seeded mutators ran")
    else:
        for name in [one for one in names if one in GUIDED]:
            failed |= _guided(name, given.seconds / len(names))
    return int(failed)


def _for_seconds(name: str, seed: int, seconds: float, sound: Path | None) -> Campaign:
    total, number, count = Campaign(), 0, _FIRST
    while total.seconds < seconds:
        total.add(campaign(name, seed, range(number, number + count), sound=sound))
        number += count
        left = seconds - total.seconds
        count = max(1, min(count * 50, int(left * number / total.seconds)))
    return total


def _guided(name: str, seconds: float) -> bool:
    """Run a target under Atheris; return whether it failed."""
    command = [sys.executable, "-m", "tests.fuzz.guided", name, str(int(seconds) + 1)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if "Done" in line or "Error" in line]
    _say(f"{name:16} guided by coverage: {' '.join(lines)[-300:] or done.stderr[-300:]}")
    return bool(done.returncode)


def _print(name: str, seed: int, result: Campaign) -> None:
    counts = ", ".join(f"{n} {what}" for what, n in sorted(result.outcomes.items()))
    total, failures = sum(result.outcomes.values()), len(result.failures)
    _say(
        f"{name:16} seed {seed}: {total} inputs in {result.seconds:.0f} s: {counts}; "
        f"{failures} failures"
    )
    for failure in result.failures:
        _say(f"FAILURE {failure}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
