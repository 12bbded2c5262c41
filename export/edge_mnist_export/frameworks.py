"""Import the heavy frameworks quietly, and say what they run on."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version

from edge_mnist.errors import EdgeMnistError, HostError, ModelError
from edge_mnist.system.info import cpu_model, usable_cpus

BACKENDS = ("tensorflow", "jax")


@contextlib.contextmanager
def quiet(*, tell: bool = False) -> Iterator[None]:
    """Keep native code's chatter off stderr; with `tell`, show it after all if the body fails.

    TensorFlow's C++ writes to file descriptor 2 before any logging option is read.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except Exception:
            if tell:
                chatter.seek(0)
                os.write(kept, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def converting(file: str) -> Iterator[None]:
    """Make one line of whatever a converter raises: it may be anything, with pages around it.

    Raises:
        ModelError: names the file that could not be made.
    """
    try:
        yield
    except EdgeMnistError:
        raise
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise ModelError(
            f"Expected a model that can be converted to {file}, got: {first[:200]} "
            f"({type(error).__name__}); replace that layer, or leave out that format or precision."
        ) from error


def keras_backend() -> str:
    """Return the backend that Keras trains on: $KERAS_BACKEND, else tensorflow.

    Raises:
        HostError: it is not one this project trains on, or is not installed.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in BACKENDS:
        raise HostError(f"Expected KERAS_BACKEND to be {' or '.join(BACKENDS)}, got {backend!r}.")
    if importlib.util.find_spec(backend) is None:
        raise HostError(
            f"Expected the package {backend} for KERAS_BACKEND={backend}, which is not "
            f"installed; install it with: pip install {backend}"
        )
    return backend


def load_keras(backend: str) -> None:
    """Import Keras on `backend`; the first call of a process decides."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet(tell=True):
        importlib.import_module(backend)
        importlib.import_module("keras")


def device(backend: str) -> str:
    """Return what `backend` trains on: the accelerator's name, or the processor's."""
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        return _cpu() if first.platform == "cpu" else str(first.device_kind)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return _cpu()
    details = tf.config.experimental.get_device_details(gpus[0])
    return str(details.get("device_name", gpus[0].name))


def tool_versions(*distributions: str) -> dict[str, str]:
    """Return the version of each distribution, by name."""
    return {name: version(name) for name in distributions}


def _cpu() -> str:
    return f"{cpu_model()} ({usable_cpus()} CPUs)"
