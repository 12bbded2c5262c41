"""The runtimes by their names: which are installed, and loading a model in one."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BackendError, ModelError
from .session import InspectableSession, NotSupportedError, Part, Session, first_line

if TYPE_CHECKING:
    from ..bundle import File


class Runtime(NamedTuple):
    """A runtime that this package can use.

    Attributes:
        backend: its name on the command line, and the name of its extra.
        module: the module to import.
        distribution: the package on PyPI.
        format: the file format it runs, "tflite" or "onnx".
        int8_only: whether it runs only full int8 files.
    """

    backend: str
    module: str
    distribution: str
    format: str
    int8_only: bool = False

    def runs(self, format: str, precision: str = "unknown") -> bool:
        """Return whether it runs files of this format and precision for sure."""
        return self.format == format and (not self.int8_only or precision == "int8")

    def may_run(self, format: str, precision: str) -> bool:
        """Return whether it is worth a try: a file of unknown precision may be full int8."""
        return self.format == format and (not self.int8_only or precision in ("int8", "unknown"))

    @property
    def installed(self) -> bool:
        """Whether the module can be found. It may still fail to import."""
        if self.module in sys.modules:
            return sys.modules[self.module] is not None
        # As `importlib.util.find_spec`, whose import would take as long as this module.
        return any(finder.find_spec(self.module, None) is not None for finder in sys.meta_path)

    @property
    def install(self) -> str:
        """The command that installs it."""
        # Imported late: only messages need it.
        from ..system.install import extra

        return f"pip install {self.distribution}" if self.int8_only else extra(self.backend)

    @property
    def no_wheel(self) -> str:
        """Why PyPI has no wheel of it for this Python; empty if it has one."""
        lacking = self._lacking
        return f"{self.distribution} has no wheel for {lacking}" if lacking else ""

    @property
    def _lacking(self) -> str:
        """The kind of Python or processor for which PyPI has no wheel; empty if it has one."""
        # Imported late: only messages need it.
        import platform

        if self.int8_only:  # numpy also comes from the system
            return ""
        if sys.implementation.name != "cpython":
            return platform.python_implementation()
        if self.backend != "tflite":
            # A 32-bit Python may run on a 64-bit kernel; pip goes by the Python.
            return "" if _is_64_bit() else "a 32-bit Python"
        if sys.version_info >= (3, 12):
            return "Python 3.12 and later"
        return "ARMv6" if platform.machine() == "armv6l" else ""

    @property
    def advice(self) -> str:
        """The remedy if it is not installed."""
        return self.no_wheel or f"install it with: {self.install}"

    @property
    def version(self) -> str:
        """The installed version; "?" if the module came from another distribution."""
        # Imported late: it takes longer to import than all of this package.
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return "?"  # for example onnxruntime-gpu


# In order of preference where several can run a file. numpy is always there, and the slowest.
RUNTIMES = {
    runtime.backend: runtime
    for runtime in (
        Runtime("litert", "ai_edge_litert", "ai-edge-litert", "tflite"),
        Runtime("tflite", "tflite_runtime", "tflite-runtime", "tflite"),
        Runtime("onnx", "onnxruntime", "onnxruntime", "onnx"),
        Runtime("numpy", "numpy", "numpy", "tflite", int8_only=True),
    )
}


def get(backend: str) -> Runtime:
    """Return an installed runtime by its name.

    Raises:
        BackendError: there is no such backend, or its package is missing.
    """
    if backend not in RUNTIMES:
        raise BackendError(
            f"Expected a backend of {', '.join(RUNTIMES)}, got {backend!r}.",
            code="backend-unknown",
        )
    runtime = RUNTIMES[backend]
    if not runtime.installed:
        raise BackendError(
            f"Expected the runtime {runtime.distribution} for backend {backend!r}, "
            f"which is not installed; {runtime.advice}",
            code="backend-missing",
        )
    return runtime


def installed(format: str | None = None, precision: str = "unknown") -> list[Runtime]:
    """Return the usable runtimes, the preferred one first.

    tflite-runtime is left out under numpy 2, where it cannot be imported.

    Args:
        format: only runtimes of this format, "tflite" or "onnx"; None for all.
        precision: of the files; a runtime of int8 files alone is left out for another one.
    """
    return [
        runtime
        for runtime in RUNTIMES.values()
        if (format is None or runtime.runs(format, precision))
        and runtime.installed
        and not (runtime.backend == "tflite" and _numpy_major() >= 2)
    ]


def load(
    runtime: Runtime, content: bytes, *, name: str, threads: int = 1, path: File | None = None
) -> Session:
    """Load a model in a runtime.

    Args:
        runtime: the runtime.
        content: the file's bytes.
        name: the file's name, for messages.
        threads: threads that the runtime may use.
        path: where the file lies, if weights in files beside it may be read.

    Raises:
        BackendError: the runtime is installed but cannot be imported.
        ModelError: the runtime does not accept the model.
    """
    backend = _import(runtime)
    try:
        session: Session = backend.load(content, name=name, threads=threads, path=path)
    except NotSupportedError as error:
        raise ModelError(
            f"Expected a model that {runtime.distribution} {runtime.version} can load, got "
            f"{name}, which needs {error}; {_remedy(runtime, error)}",
            code="model-too-new",
        ) from error
    return session


def load_part(runtime: Runtime, content: bytes) -> Part:
    """Load a part of a model that the runtime has loaded as a whole; with one thread.

    Raises:
        BackendError: the runtime is installed but cannot be imported.
        Exception: the runtime does not accept the part; each runtime has its own exceptions.
    """
    part: Part = _import(runtime).load_part(content)
    return part


def _import(runtime: Runtime) -> Any:
    try:
        return importlib.import_module(f"{__package__}.{runtime.backend}")
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise BackendError(
            f"Expected {runtime.distribution} to import, got: {first_line(error)}; "
            f"reinstall it with: {runtime.install}",
            code="backend-import",
        ) from error


def load_inspectable(runtime: Runtime, content: bytes, *, name: str) -> InspectableSession | None:
    """Load a model so that the tensors between its layers can be read after a run.

    It is slower than a session of `load`, which runs several layers as one. The file has been
    loaded by `load` before.

    Returns:
        The session; None if the runtime cannot keep these tensors.
    """
    backend = importlib.import_module(f"{__package__}.{runtime.backend}")
    load = getattr(backend, "load_inspectable", None)
    return None if load is None else load(content, name=name)


def _remedy(runtime: Runtime, error: NotSupportedError) -> str:
    """Return how to get a file loaded that needs more than the runtime has."""
    if "edgetpu" in str(error):
        return "give the file that went into the Edge TPU compiler."
    if error.custom:
        return "no release has that: export the model again without it"
    if runtime.int8_only:
        usable = [other for other in (RUNTIMES["litert"], RUNTIMES["tflite"]) if not other.no_wheel]
        again = "export it again with: edge-mnist export --int8"
        return f"install a runtime with: {usable[0].install}" if usable else again
    again = f"edge-mnist export --target raspberry-pi-{64 if _is_64_bit() else 32}"
    if runtime.backend != "tflite":
        upgrade = f"pip install --upgrade {runtime.distribution}"
        return f"upgrade it with: {upgrade}, or export again with: {again}"
    # 2.14.0 is the last release of tflite-runtime; LiteRT has wheels for 64 bits only.
    if not _is_64_bit():
        return f"export again with: {again}"
    return f"install LiteRT with: {RUNTIMES['litert'].install}, or export again with: {again}"


def _numpy_major() -> int:
    import numpy as np

    return int(np.__version__.partition(".")[0])


def _is_64_bit() -> bool:
    return sys.maxsize > 2**32
