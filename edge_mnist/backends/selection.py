"""Choose an artifact of a bundle and a runtime for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..bundle import PRECISIONS, Artifact
from ..errors import BackendError, ModelError
from .registry import RUNTIMES, Runtime, get, installed


def choose(
    artifacts: Sequence[Artifact], *, backend: str | None = None, precision: str | None = None
) -> tuple[Artifact, Runtime]:
    """Return the best artifact and runtime that this machine has and the caller allows.

    Args:
        artifacts: files of one bundle, or one file.
        backend: "litert", "tflite" or "onnx"; None for any.
        precision: "int8", "dynamic", "float16" or "float32"; None for any.

    Raises:
        BackendError: no installed runtime runs any of them; the message has the install line.
        ModelError: the bundle lacks that precision, or a file for that backend.
    """
    runtimes = [get(backend)] if backend else installed()
    wanted = [a for a in artifacts if precision in (None, a.precision)]
    if not wanted:
        has = ", ".join(sorted({a.precision for a in artifacts}))
        raise ModelError(
            f"Expected a {precision} file in the bundle, got only {has}.", code="model-precision"
        )
    for artifact in sorted(wanted, key=_preference):
        for runtime in runtimes:
            if runtime.format == artifact.format:
                return artifact, runtime
    raise _no_runtime(sorted({a.format for a in wanted}), get(backend) if backend else None)


def pairs(artifacts: Sequence[Artifact], backend: str | None) -> Iterator[tuple[Artifact, Runtime]]:
    """Yield every artifact with every installed runtime that runs it, or with `backend` alone.

    Raises:
        BackendError, ModelError: as `choose`, if there is none.
    """
    choose(artifacts, backend=backend)
    for artifact in artifacts:
        for runtime in installed(artifact.format):
            if backend in (None, runtime.backend):
                yield artifact, runtime


def _preference(artifact: Artifact) -> int:
    known = artifact.precision in PRECISIONS
    return PRECISIONS.index(artifact.precision) if known else len(PRECISIONS)


def _no_runtime(formats: Sequence[str], wanted: Runtime | None) -> BackendError | ModelError:
    listed = ", .".join(formats)
    if wanted:
        return ModelError(
            f"Expected a .{wanted.format} file for backend {wanted.backend!r}, got only "
            f".{listed}; choose another backend or export that format.",
            code="model-format",
        )
    fit = [runtime for runtime in RUNTIMES.values() if runtime.format in formats]
    install = " or: ".join(runtime.install for runtime in fit if not runtime.no_wheel)
    return BackendError(
        f"Expected a runtime for .{listed} files, got none installed; "
        f"{f'install one with: {install}' if install else fit[0].no_wheel}",
        code="backend-none",
    )
