"""The environment of one process of several in; JAX connected to the other processes out.

Several processes, on one host or on several, train one model under JAX. Three variables, which
Keras reads, tell each process about the others. The first process keeps the run folder, and
prints. The others need no folder in common with it: it sends them the state of the run.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.errors import EdgeMnistError, HostError
from edge_mnist.system.verbosity import is_verbose

from ..runs import HISTORY

_ADDRESSES, _COUNT, _NUMBER = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
# In the exceptions of JAX's collective operations.
_SIGNS_OF_LOSS = ("Gloo", "NCCL", "UNAVAILABLE", "oordination service")
_INTERRUPTED = 130  # exit status after Ctrl-C, as of the command line


@dataclass(frozen=True)
class Job:
    """The processes that train one model, seen from one of them.

    Attributes:
        count: the number of processes.
        number: of this process, from 0.
        coordinator: HOST:PORT at which process 0 listens; None with one process.
    """

    count: int = 1
    number: int = 0
    coordinator: str | None = None

    @property
    def first(self) -> bool:
        """Whether this process keeps the run folder, and prints."""
        return self.number == 0


def find_job(backend: str) -> Job:
    """Return the job that the environment describes; without its variables, one process.

    Raises:
        HostError: the variables are incomplete or malformed, or `backend` cannot use them.
    """
    values = {name: os.environ.get(name, "") for name in (_ADDRESSES, _COUNT, _NUMBER)}
    if not any(values.values()):
        _check_tensorflow(backend, _tensorflow_workers(), "TF_CONFIG")
        return Job()
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise _environment_error(
            f"{_ADDRESSES}, {_COUNT} and {_NUMBER} together", f"no {' and no '.join(missing)}"
        )
    count, number = (_integer(name, values[name]) for name in (_COUNT, _NUMBER))
    if not 0 <= number < count:
        raise _environment_error(
            f"{_NUMBER} from 0 up to {_COUNT} - 1", f"{number} with {count} processes"
        )
    addresses = values[_ADDRESSES].split(",")
    if len(addresses) not in (1, count) or not all(map(_is_address, addresses)):
        raise _environment_error(
            f"{_ADDRESSES} to be the HOST:PORT of process 0, or of each process with commas "
            f"between them",
            f"{values[_ADDRESSES]!r} with {count} processes",
        )
    _check_tensorflow(backend, count, _COUNT)
    return Job(count, number, addresses[0]) if count > 1 else Job()


def _integer(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,6}", value):
        raise _environment_error(f"{name} to be a whole number", repr(value))
    return int(value)


def _is_address(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def _environment_error(expected: str, found: str) -> HostError:
    return HostError(
        f"Expected {expected}, got {found}; set all three for each process, or none of them.",
        code="host-processes-environment",
    )


def _tensorflow_workers() -> int:
    """Return the number of processes that TF_CONFIG lists; 1 if it cannot be read."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
        return sum(len(cluster.get(role, ())) for role in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError):
        return 1


def _check_tensorflow(backend: str, processes: int, variable: str) -> None:
    if backend == "tensorflow" and processes > 1:
        raise HostError(
            f"Expected one process with TensorFlow, got {processes} by {variable}, on which "
            f"Keras 3 cannot train with TensorFlow; set KERAS_BACKEND=jax, or unset {variable}.",
            code="host-processes-tensorflow",
        )


@contextlib.contextmanager
def connected(job: Job) -> Iterator[None]:
    """Connect JAX to the other processes, and turn the loss of one into an error of one line.

    On a CPU the loss is seen at once. Otherwise JAX misses the heartbeats of a process after 100 s,
    and waits for a process that has not started for 300 s.

    Raises:
        HostError: another process ended; or JAX was used in this process before.
    """
    if job.count == 1:
        yield
        return
    with _python_output_only(), _abort_as_line(_absent_error(job)):
        _initialize()
    error = _lost_error(job)
    with _python_output_only(), _abort_as_line(error):
        try:
            yield
        except (ValueError, RuntimeError) as caught:
            if any(word in str(caught) for word in _SIGNS_OF_LOSS):
                _leave_at_once(error)
                raise error from caught
            _leave_at_once(caught)
            raise
        except BaseException as caught:
            _leave_at_once(caught)
            raise


@contextlib.contextmanager
def _python_output_only() -> Iterator[None]:
    """Discard what native code writes: JAX's pages on a lost process, and Gloo's greeting."""
    if is_verbose():
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(_divert(1, stack)))
        stack.enter_context(contextlib.redirect_stderr(_divert(2, stack)))
        yield


def _divert(descriptor: int, stack: contextlib.ExitStack) -> IO[str]:
    """Send a file descriptor's output nowhere; return a stream to where it went before."""
    kept = os.dup(descriptor)
    stack.callback(os.close, kept)
    stack.callback(os.dup2, kept, descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return stack.enter_context(open(kept, "w", buffering=1, encoding="utf-8", closefd=False))


def _initialize() -> None:
    import jax
    import keras

    if jax.distributed.is_initialized():
        return
    # It would take SIGTERM for itself.
    jax.config.update("jax_enable_preemption_service", False)  # type: ignore[no-untyped-call]
    try:
        keras.distribution.initialize()
    except RuntimeError as error:
        raise HostError(
            f"Expected several processes to connect before JAX is used, got: "
            f"{str(error).splitlines()[0]}; train in a new process.",
            code="host-processes-late",
        ) from error


def _lost_error(job: Job) -> HostError:
    return HostError(
        f"Expected {job.count} processes to the end, got one that ended or cannot be reached; look "
        f"at its last line, then repeat the same commands, which continue the run.",
        code="host-processes-lost",
    )


def _absent_error(job: Job) -> HostError:
    return HostError(
        f"Expected {job.count} processes at {job.coordinator}, got fewer within 300 s; start "
        f"every process, and let each reach that port of process 0.",
        code="host-processes-absent",
    )


def _leave_at_once(error: BaseException) -> None:
    """Let this process end without JAX's farewell, which would wait minutes for the others."""
    status = _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    status = error.exit_status if isinstance(error, EdgeMnistError) else status

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)

    atexit.register(leave)


@contextlib.contextmanager
def _abort_as_line(error: HostError) -> Iterator[None]:
    """Write an error's line if JAX aborts this process.

    Its native threads do so when the coordinator is gone or a heartbeat is missing. A handler of
    Python's own would never run.
    """
    if sys.platform == "win32":
        yield
        return
    stderr = sys.stderr.fileno()

    def on_abort(number: int) -> None:
        os.write(stderr, f"edge-mnist: error: {error}\n".encode())
        os._exit(error.exit_status)

    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(on_abort)
    before = libc.signal(signal.SIGABRT, handler)
    try:
        yield
    finally:
        libc.signal(signal.SIGABRT, ctypes.c_void_p(before))


def check_same(job: Job, **values: Any) -> None:
    """Make sure that every process trains by the same recipe on the same data.

    Raises:
        HostError: a process has other values. Each process raises it.
    """
    if job.count == 1:
        return
    from jax.experimental import multihost_utils

    texts = {name: json.dumps(value, sort_keys=True) for name, value in values.items()}
    digests = [np.frombuffer(hashlib.sha256(t.encode()).digest(), np.uint8) for t in texts.values()]
    everyone = multihost_utils.process_allgather(np.stack(digests))  # (processes, values, 32)
    for index, (name, text) in enumerate(texts.items()):
        differing = (everyone[:, index] != everyone[0, index]).any(axis=1).nonzero()[0]
        if len(differing):
            raise HostError(
                f"Expected the same {name} in all processes, got another one in process "
                f"{differing[0]} than in process 0 (here {text[:200]}); give every process the "
                f"same options, data and versions.",
                code="host-processes-differ",
            )


def first_says(job: Job, value: bool) -> bool:
    """Return what the first process passes here; all processes have to call this."""
    return bool(_from_first(job, [np.array(value)])[0])


def share_state(
    job: Job, model: Any, history: list[dict[str, float]], epochs: int
) -> list[dict[str, float]]:
    """Give the model the weights of the first process's model; return that process's history.

    Args:
        job: the processes.
        model: compiled, its optimizer built.
        history: a row for each finished epoch.
        epochs: of the whole run.
    """
    if job.count == 1:
        return history
    columns = np.zeros((epochs, len(HISTORY)))
    for number, row in enumerate(history):
        columns[number] = [row[name] for name in HISTORY]
    variables = [*model.variables, *model.optimizer.variables]
    rows, *values = _from_first(job, [columns, *(np.asarray(one.value) for one in variables)])
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return [dict(zip(HISTORY, map(float, row), strict=True)) for row in rows if row.any()]


def _from_first(job: Job, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the first process's arrays, bit for bit; shapes and types must be everyone's."""
    if job.count == 1:
        return [*arrays]
    from jax.experimental import multihost_utils

    # As bytes: a sum over the processes would change -0.0, and 64-bit numbers.
    sent = multihost_utils.broadcast_one_to_all(
        [np.frombuffer(array.tobytes(), np.uint8) for array in arrays]
    )
    return [
        np.frombuffer(np.asarray(one).tobytes(), array.dtype).reshape(array.shape)
        for one, array in zip(sent, arrays, strict=True)
    ]
