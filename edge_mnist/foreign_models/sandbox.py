"""Load and run a model file in a child process, before it is loaded in this one.

A native library that fails an assertion, divides by zero or never returns takes its process with
it. Static checks cannot exclude that for each of some two hundred operators. A child process costs
the start of Python and of the runtime. It is a trial, not a proof: harm that only other images
cause stays unseen, and a write past the end of memory may succeed there and fail here.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from .. import errors
from ..bundle import sha256
from ..model_files.malformed import Malformed
from . import probe

if TYPE_CHECKING:
    from ..bundle import Artifact
    from ..bundle.model_spec import ModelSpec

# glibc fills memory with a pattern when it hands it out and takes it back, keeps no cache of small
# blocks that would escape this, and returns none to the system. A read past the end then finds no
# zeros, which could be harmless here and fatal in the next process.
_HEAP_POISONING = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0:" + ":".join(
    f"glibc.malloc.{name}_threshold={1 << 30}" for name in ("mmap", "trim")
)
# Time limit. Loading and five images take a small model milliseconds, a second on a Raspberry Pi.
SECONDS = 60.0

# Backend, SHA-256 and stated spec of files that did no harm.
_known_safe: set[tuple[str, str, ModelSpec | None]] = set()


class Harmful(Malformed):
    """A file that ended or blocked its process."""

    remedy = "export the model again; a runtime cannot be kept from dying of this file."


def check(artifact: Artifact, content: bytes, *, backend: str, threads: int) -> None:
    """Load and run a file in a child process, with the spec of its manifest if it has one.

    Raises:
        Harmful: the child crashed, ran out of time, or needed too much memory.
        Malformed: the child could not be started.
        EdgeMnistError: the child refused the file. That is final: this process has no memory limit.
    """
    key = backend, sha256(content), artifact.spec
    if key in _known_safe:
        return
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", probe.__name__],
            input=pickle.dumps((backend, threads, artifact, content)),
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={
                **os.environ,
                # The child finds the same modules as this process.
                "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                "GLIBC_TUNABLES": _HEAP_POISONING,
            },
        )
    except subprocess.TimeoutExpired as error:
        raise Harmful(f"no end within {SECONDS:g} s of running it") from error
    except OSError as error:
        raise Malformed(f"operators that must be tried in a child process ({error})") from error
    if done.returncode == probe.REFUSED:
        kind, message, code = json.loads(done.stdout.splitlines()[-1])
        raise getattr(errors, kind)(message, code=code)
    if done.returncode:
        raise Harmful(f"operators that end the process running them ({_cause(done)})")
    _known_safe.add(key)


def _cause(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the signal that ended the child, or its last line on stderr."""
    if done.returncode < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-done.returncode).name
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit status {done.returncode}"
