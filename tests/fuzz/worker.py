"""Try inputs of one target in a process that may crash.

    python -m tests.fuzz.worker TARGET SEED START END SOUND

For each number from START to END the input of SEED is made and tried. The number is printed before
the trial, and again with the outcome after it, so that a crash or a hang is known by its input.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random

from edge_mnist.errors import EdgeMnistError
from edge_mnist.foreign_models import sandbox

from .targets import TARGETS, Target, sound_files

# Time limit of an input. Most take a few milliseconds.
SECONDS = 10.0
# RLIMIT_DATA of the process: heap and private maps. It is the one of the sandbox's child.
GIBIBYTES = 2
# Folders in which nothing may be left: the current one, that of temporary files, and the home.
WATCHED = ("here", "tmp", "home")


def run(name: str, seed: int, numbers: range, sound: Path | None) -> None:
    """Try the inputs of these numbers, and print the outcome of each."""
    # A copy, because file descriptor 2 is redirected while a runtime starts.
    said = os.fdopen(os.dup(2), "w")
    with tempfile.TemporaryDirectory() as folder, watched(Path(folder)) as inputs:
        target = TARGETS[name](inputs, sound_files(sound))
        warnings.simplefilter("error")
        for number in numbers:
            _say(f"{number}")
            faulthandler.dump_traceback_later(SECONDS, exit=True, file=said)
            given = target.make(Random(f"{name} {seed} {number}"))
            _say(f"{number} {outcome(target, given) or left(Path(folder)) or 'fine'}")
            faulthandler.cancel_dump_traceback_later()
        os.chdir("/")


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Path]:
    """Make the watched folders, and yield the one for inputs."""
    for name in (*WATCHED, "inputs"):
        (folder / name).mkdir()
    os.environ |= {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home")}
    tempfile.tempdir = None
    os.chdir(folder / "here")
    yield folder / "inputs"
    tempfile.tempdir = None
    del os.environ["TMPDIR"]


def left(folder: Path) -> str:
    """Return what was written outside of the folder of inputs; "" if nothing was."""
    found = [one for name in WATCHED for one in (folder / name).iterdir()]
    found += [one for one in folder.iterdir() if one.name not in (*WATCHED, "inputs")]
    return f"WRONG wrote {[*map(str, found)]!r:.200}" if found else ""


def _say(line: str) -> None:
    """Print a line at once: the process may crash next."""
    sys.stdout.write(ascii(line)[1:-1] + "\n")
    sys.stdout.flush()


def outcome(target: Target, given: object) -> str:
    """Return "refused", "WRONG" and the reason, or "" for an input that was answered."""
    try:
        target.run(given)
    except EdgeMnistError as error:
        message = str(error)
        if message.count("\n") or not message.startswith("Expected ") or len(message) > 2000:
            return f"WRONG message: {message!r}"
        return f"refused {type(error).__name__}: {message}"
    except BaseException as error:  # noqa: BLE001 - any other exception is a failure
        import traceback

        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{one.name}:{one.lineno}" for one in reversed(frames))
        return f"WRONG {type(error).__name__}: {str(error)!r:.300} at {where}"
    return ""


def limit_memory() -> None:
    """Set the limit on memory, where the system has one."""
    if sys.platform == "linux":
        import resource

        size = GIBIBYTES << 30
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    name, seed, start, end, *rest = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    limit_memory()
    # A child that hangs must be ended before this process is.
    sandbox.SECONDS = SECONDS / 2
    run(name, int(seed), range(int(start), int(end)), Path(rest[0]) if rest else None)
