"""The runtimes, by the names of their extras; each is imported only when it is chosen."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..errors import BackendError, ModelError

if TYPE_CHECKING:
    from numpy import generic
    from numpy.typing import NDArray

    from ..bundle import File

    Shape = tuple[int, ...]
    Run = Callable[[NDArray[generic]], NDArray[generic]]

# From 1.29 on ONNX Runtime reports to its makers what it loads and runs, and an identifier of the
# device, unless this is set before it is imported. Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class Tensor(NamedTuple):
    """An input or output: `shape` with the batch first, -1 where it is open.

    A quantized value `q` stands for `scale * (q - zero_point)`; scale 0 means not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


class Session(Protocol):
    """A loaded model with one input, and one output that is used."""

    input: Tensor
    output: Tensor

    def run(self, values: NDArray[generic]) -> NDArray[generic]:
        """Return the raw output (n, …) for `values` of the input's dtype and shape (n, …).

        `n` is the input's batch, any number where that is open.

        Raises:
            ModelError: the runtime gave up.
        """
        ...

    def bind(self, shape: Shape, output: Shape) -> tuple[NDArray[generic], Run]:
        """Return an input of a shape, and the shortest way to run that, or another like it.

        The raw output, of shape `output`, may be overwritten by the next call.
        """
        ...


class NotSupportedError(Exception):
    """A file needs what its runtime does not have: `str` of it names that, with the version.

    `custom` marks an op of nobody's releases, which no upgrade brings.
    """

    def __init__(self, needs: str, *, custom: bool = False) -> None:
        super().__init__(needs)
        self.custom = custom


class Runtime(NamedTuple):
    """A runtime this package can use: its module to import and the format it runs."""

    backend: str
    module: str
    distribution: str
    format: str

    @property
    def installed(self) -> bool:
        """Whether the module can be found; says nothing of whether it can be imported."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def install(self) -> str:
        """The command that brings it."""
        return f"pip install 'edge-mnist[{self.backend}]'"

    @property
    def no_wheel(self) -> str:
        """Why pip finds no wheel of it for this Python; empty where it does."""
        if self.backend == "tflite":
            new = sys.version_info >= (3, 12)
            return f"{self.distribution} has no wheel for Python 3.12 and later" if new else ""
        # A 32-bit Python may well run on a 64-bit kernel: what counts is which wheels it takes.
        return "" if _wide() else f"{self.distribution} has no wheel for a 32-bit Python"

    @property
    def advice(self) -> str:
        """What to do where it is not installed."""
        return self.no_wheel or f"install it with: {self.install}"

    @property
    def version(self) -> str:
        """The version installed; "?" where its module came from another distribution."""
        # It takes longer to import than all of this package.
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return "?"  # Such as onnxruntime-gpu's.


# In order of preference where several can run a file.
RUNTIMES = {
    runtime.backend: runtime
    for runtime in (
        Runtime("litert", "ai_edge_litert", "ai-edge-litert", "tflite"),
        Runtime("tflite", "tflite_runtime", "tflite-runtime", "tflite"),
        Runtime("onnx", "onnxruntime", "onnxruntime", "onnx"),
    )
}


def get(backend: str) -> Runtime:
    """Return the runtime of that name, installed.

    Raises:
        BackendError: no such backend, or its package is missing.
    """
    if backend not in RUNTIMES:
        raise BackendError(f"Expected a backend of {', '.join(RUNTIMES)}, got {backend!r}.")
    runtime = RUNTIMES[backend]
    if not runtime.installed:
        raise BackendError(
            f"Expected the runtime {runtime.distribution} for backend {backend!r}, "
            f"which is not installed; {runtime.advice}"
        )
    return runtime


def installed(format: str | None = None) -> list[Runtime]:
    """Return the runtimes that can be used, the preferred one first; for `format` if given.

    tflite-runtime is left out where numpy 2 keeps it from being imported.
    """
    return [
        runtime
        for runtime in RUNTIMES.values()
        if format in (None, runtime.format)
        and runtime.installed
        and not (runtime.backend == "tflite" and _numpy_major() >= 2)
    ]


def _numpy_major() -> int:
    import numpy as np

    return int(np.__version__.partition(".")[0])


def load(
    runtime: Runtime, content: bytes, *, name: str, threads: int = 1, path: File | None = None
) -> Session:
    """Load a model's bytes; `name` stands in messages.

    `path` is where a file lies that no manifest vouches for: weights beside it may be read.

    Raises:
        BackendError: the runtime is there but cannot be imported.
        ModelError: the runtime does not take the model.
    """
    try:
        backend = importlib.import_module(f".{runtime.backend}", __name__)
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise BackendError(
            f"Expected {runtime.distribution} to import, got: {_first_line(error)}; "
            f"reinstall it with: {runtime.install}"
        ) from error
    if path is not None:
        from pathlib import Path

        from ..foreign_models.check import check

        check(
            content,
            backend=runtime.backend,
            format=runtime.format,
            name=name,
            threads=threads,
            path=Path(path),
        )
    try:
        session: Session = backend.load(content, name=name, threads=threads, path=path)
    except NotSupportedError as error:
        raise ModelError(
            f"Expected a model that {runtime.distribution} {runtime.version} can load, got "
            f"{name}, which needs {error}; {_remedy(runtime, error)}"
        ) from error
    return session


def one_input(inputs: Sequence[str], name: str) -> None:
    """Refuse a model with more inputs than the image, or with none. Raises ModelError."""
    if len(inputs) != 1:
        raise ModelError(
            f"Expected one input, the image, got {len(inputs)} in {name}: {', '.join(inputs)}."
        )


def choose_output(outputs: Sequence[Tensor], name: str) -> int:
    """Return the index of the only output, or of the only one of scores (n, classes).

    Raises:
        ModelError: none, or several that could be meant.
    """
    fit = [index for index, tensor in enumerate(outputs) if _scores(tensor)]
    if len(outputs) == 1 or len(fit) == 1:
        return 0 if len(outputs) == 1 else fit[0]
    shown = ", ".join(f"{tensor.name} {tensor.shape} {tensor.dtype}" for tensor in outputs)
    raise ModelError(
        f"Expected one output of scores (n, classes), got {len(fit)} among {len(outputs)} "
        f"outputs in {name}: {shown or 'none'}."
    )


def _scores(tensor: Tensor) -> bool:
    numbers = tensor.dtype.startswith("float") or bool(tensor.scale)
    return numbers and len([size for size in tensor.shape[1:] if size != 1]) == 1


def _remedy(runtime: Runtime, error: NotSupportedError) -> str:
    """Return what gets a file loaded that asks too much of a runtime."""
    if "edgetpu" in str(error):
        return "give the file that went into the Edge TPU compiler."
    if error.custom:
        return "no release has that: export the model again without it"
    again = f"edge-mnist export --target raspberry-pi-{64 if _wide() else 32}"
    if runtime.backend != "tflite":
        upgrade = f"pip install --upgrade {runtime.distribution}"
        return f"upgrade it with: {upgrade}, or export again with: {again}"
    # 2.14.0 is the last tflite-runtime; what follows it has wheels for 64 bits only.
    if not _wide():
        return f"export again with: {again}"
    return f"install LiteRT with: {RUNTIMES['litert'].install}, or export again with: {again}"


def _wide() -> bool:
    return sys.maxsize > 2**32


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
