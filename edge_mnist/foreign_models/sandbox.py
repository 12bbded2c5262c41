"""Try a model file that no manifest vouches for in a process of its own, before it is loaded here.

A native library that fails an assertion, divides by zero or loops for ever takes its process
along, and no look at the bytes can promise that of each of some two hundred operators. So a file
of other than common operators in common use is first loaded and run where it can do no harm.
That costs a start of Python and of the runtime: too much for every file, little beside a crash.
It is a trial and no proof: it does not foresee what only other images bring about, and a write
past the end of memory may go well there and not here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from ..bundle import Artifact, sha256
from ..errors import EdgeMnistError
from .malformed import Malformed

# So that what is read past an end, before it was written or after it was freed, is no zero, which
# may do no harm here and end the next process: glibc fills what it hands out and takes back, keeps
# no list of small blocks that escape this, and returns nothing to the system.
_SOILING = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0:" + ":".join(
    f"glibc.malloc.{name}_threshold={1 << 30}" for name in ("mmap", "trim")
)
_SOILED = 16 << 20  # bytes, more than loading a small model takes
# Loading and a handful of images take a small model milliseconds, on a Raspberry Pi a second.
SECONDS = 60.0
# A runtime's own needs, and a model at the limit of what is checked.
_MOST_MEMORY = 2 << 30
_REFUSED = 3

_harmless: set[tuple[str, str]] = set()


class Harmful(Malformed):
    """A file that did its process harm."""

    remedy = "export the model again; a runtime cannot be kept from dying of this file."


def check(path: Path, content: bytes, *, backend: str, threads: int) -> None:
    """Raise Harmful where loading and running a file crashes, hangs or takes all memory."""
    key = backend, sha256(content)
    if key in _harmless:
        return
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, backend, str(threads), str(path)],
            input=content,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            # The same modules are found, whatever this process has done to find them.
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                "GLIBC_TUNABLES": _SOILING,
            },
        )
    except subprocess.TimeoutExpired as error:
        raise Harmful(f"no end within {SECONDS:g} s of running it") from error
    except OSError as error:
        raise Malformed(f"operators that must be tried in a process apart ({error})") from error
    if done.returncode not in (0, _REFUSED):
        raise Harmful(f"operators that end the process running them ({_cause(done)})")
    _harmless.add(key)


def _cause(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-done.returncode).name
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1][:200] if said else f"exit status {done.returncode}"


class _Given(Artifact):
    """The very bytes that were checked: the file may be another by now."""

    content = b""

    def read(self) -> bytes:
        return self.content


def _main(backend: str, threads: str, path: str) -> None:
    """Load and run the file on standard input; an error that is raised is no harm."""
    from ..backends import RUNTIMES
    from ..classifier import Classifier
    from . import check as checking

    _limit_memory()
    checking.here = True
    runtime = RUNTIMES[backend]
    _Given.content = sys.stdin.buffer.read()
    artifact = _Given(path, runtime.format, "unknown", None)
    bytearray(_SOILED)  # filled as it is freed, and the next to be handed out
    try:
        Classifier.from_artifact(artifact, runtime, threads=int(threads))
    except EdgeMnistError:
        sys.exit(_REFUSED)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # no Unix, or less is allowed
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.maxsize > 2**32:
            resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))


if __name__ == "__main__":
    _main(*sys.argv[1:])
