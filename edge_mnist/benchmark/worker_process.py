"""A worker process, seen from its parent: requests in, answers or a ModelError out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any

from ..errors import ModelError
from . import worker

# Seconds without an answer after which a worker is killed. A slow model needs a few predictions
# for an answer.
_TIMEOUT_S = 300.0


class WorkerProcess:
    """A running worker.

    Args:
        name: the job's name, for the error message.
        module: the module that the process runs: `worker`, or one of another room that also
            answers a line of JSON with a line of JSON.

    Raises:
        ModelError: the process cannot be started.
    """

    def __init__(self, name: str, module: str = worker.__name__, *, threads: int = 1) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                text=True,
                encoding="utf-8",
                # The worker finds the same modules, even if this process has changed sys.path.
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                    # For the backend numpy; the other runtimes are told when they load.
                    "OPENBLAS_NUM_THREADS": str(threads),
                },
            )
        except OSError as error:
            self._stderr.close()
            raise ModelError(
                f"Expected to start a process for {name}, got: {error.strerror}.",
                code="model-worker-start",
            ) from error

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises:
            ModelError: the worker reported an error, died, or was killed after a timeout.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(_TIMEOUT_S, self._process.kill)
        watchdog.daemon = True  # Ctrl-C right after its start does not wait for it.
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        finally:
            late = not watchdog.is_alive()
            watchdog.cancel()
        if not line.endswith("\n"):
            reason = f"no answer within {_TIMEOUT_S:.0f} s" if late else self._death()
            raise ModelError(reason, code="model-worker-died")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ModelError(answer["error"], code="model-worker-failed")
        return answer

    def _death(self) -> str:
        """Return the last line of standard error, or how the process ended."""
        status = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        if status >= 0 and lines:
            return lines[-1][:300]
        cause = f"exit status {status}"
        with contextlib.suppress(ValueError):
            cause = signal.Signals(-status).name
        return f"its process died of {cause}"

    def close(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            # Closing flushes; what is left for the dead process cannot be written.
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
