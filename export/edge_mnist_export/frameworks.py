"""A backend's name in; Keras imported on it, its device and its versions out."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mnist.errors import EdgeMnistError, HostError, ModelError
from edge_mnist.system.info import cpu_model, usable_cpus
from edge_mnist.system.progress import Progress
from edge_mnist.system.verbosity import is_verbose

_BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}


@contextlib.contextmanager
def quiet(*, show_on_error: bool = False) -> Iterator[None]:
    """Discard what native code writes to stderr, and what Python logs below an error.

    Nothing is discarded if the user asked for details.

    TensorFlow's C++ writes to file descriptor 2 before it reads any logging option. In a notebook,
    Python's stderr is not that descriptor.

    Args:
        show_on_error: write the discarded text to stderr if the body raises.
    """
    if is_verbose():
        yield
        return
    sys.stderr.flush()
    stderr, disabled = os.dup(2), logging.root.manager.disable
    logging.disable(logging.WARNING)
    with tempfile.TemporaryFile() as discarded:
        os.dup2(discarded.fileno(), 2)
        try:
            yield
        except Exception:
            if show_on_error:
                discarded.seek(0)
                os.write(stderr, discarded.read())
            raise
        finally:
            logging.disable(disabled)
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def converting(file: str) -> Iterator[None]:
    """Turn any exception of a converter into an error of one line.

    Raises:
        ModelError: the body failed; the message names `file`, which could not be made.
    """
    try:
        yield
    except EdgeMnistError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise  # A full disk, not the model.
        first = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise ModelError(
            f"Expected a model that can be converted to {file}, got: {first[:200]} "
            f"({type(error).__name__}); replace that layer, or leave out that format or precision.",
            code="model-not-convertible",
        ) from error


def keras_backend() -> str:
    """Return the backend that Keras trains on: $KERAS_BACKEND, else tensorflow.

    Raises:
        HostError: this project does not support the backend, or it is not installed.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in _BACKENDS:
        raise HostError(
            f"Expected KERAS_BACKEND to be {' or '.join(_BACKENDS)}, got {backend!r}; set it to "
            f"one of these, or unset it.",
            code="host-backend-unknown",
        )
    if importlib.util.find_spec(backend) is None:
        raise HostError(
            f"Expected the package {backend} for KERAS_BACKEND={backend}, which is not "
            f"installed; install it with: pip install {backend}",
            code="host-backend-missing",
        )
    return backend


def load_keras(backend: str, progress: Progress | None = None) -> None:
    """Import Keras on `backend`, which takes seconds: first a line of progress says so.

    Only the first call of a process has an effect.

    Raises:
        HostError: this process has loaded Keras on another backend.
    """
    if progress and backend not in sys.modules:
        progress.line(f"Loading {_BACKENDS[backend]}")
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if is_verbose() else "3")
    with quiet(show_on_error=True):
        importlib.import_module(backend)
        loaded = importlib.import_module("keras").config.backend()
    if loaded != backend:
        raise HostError(
            f"Expected Keras on {backend}, got a process in which it was loaded on {loaded}; set "
            f"KERAS_BACKEND={backend} before Keras is imported.",
            code="host-backend-loaded",
        )


def predict(
    model: Any, inputs: NDArray[np.float32], *, batch_size: int = 32
) -> NDArray[np.float32]:
    """Return the outputs (n, classes) of a Keras model on TensorFlow, as `model.predict` does.

    That builds a pipeline of `tf.data` at each call, for a fifth of a second; an export makes up to
    twenty. The batches are the same.
    """
    run = _traced(model)
    starts = range(0, len(inputs), batch_size)
    return np.concatenate([run(inputs[start : start + batch_size]).numpy() for start in starts])


@functools.lru_cache(maxsize=2)
def _traced(model: Any) -> Any:
    import tensorflow as tf

    images = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)
    return tf.function(
        lambda batch: model(batch, training=False), input_signature=[images], autograph=False
    )


def device(backend: str) -> str:
    """Return the name of the accelerator that `backend` uses, or else of the processor."""
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        return _processor() if first.platform == "cpu" else str(first.device_kind)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return _processor()
    details = tf.config.experimental.get_device_details(gpus[0])
    return str(details.get("device_name", gpus[0].name))


def tool_versions(*distributions: str) -> dict[str, str]:
    """Return the installed version of each distribution, by name."""
    return {name: version(name) for name in distributions}


def _processor() -> str:
    return f"{cpu_model()} ({usable_cpus()} CPUs)"
