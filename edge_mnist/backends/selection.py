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
        backend: "litert", "tflite", "onnx" or "numpy"; None for any, numpy last.
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
    fit = [
        (artifact, runtime)
        for artifact in sorted(wanted, key=_preference)
        for runtime in runtimes
        if runtime.may_run(artifact.format, artifact.precision)
    ]
    if fit:
        return min(fit, key=lambda pair: pair[1].int8_only)
    raise _no_runtime(wanted, get(backend) if backend else None)


def pairs(artifacts: Sequence[Artifact], backend: str | None) -> Iterator[tuple[Artifact, Runtime]]:
    """Yield every artifact with every installed runtime that runs it, or with `backend` alone.

    Raises:
        BackendError, ModelError: as `choose`, if there is none.
    """
    choose(artifacts, backend=backend)
    for artifact in artifacts:
        format, precision = artifact.format, artifact.precision
        if backend is None:
            yield from ((artifact, runtime) for runtime in installed(format, precision))
        elif get(backend).may_run(format, precision):
            yield artifact, get(backend)


def _preference(artifact: Artifact) -> int:
    known = artifact.precision in PRECISIONS
    return PRECISIONS.index(artifact.precision) if known else len(PRECISIONS)


def _no_runtime(artifacts: Sequence[Artifact], wanted: Runtime | None) -> BackendError | ModelError:
    formats = sorted({artifact.format for artifact in artifacts})
    listed = ", .".join(formats)
    if wanted and wanted.int8_only and wanted.format in formats:
        return ModelError(
            f"Expected an int8 file for backend {wanted.backend!r}, got only "
            f"{', '.join(sorted({a.precision for a in artifacts}))}; choose another backend or "
            f"export with --int8.",
            code="model-precision",
        )
    if wanted:
        return ModelError(
            f"Expected a .{wanted.format} file for backend {wanted.backend!r}, got only "
            f".{listed}; choose another backend or export that format.",
            code="model-format",
        )
    fit = [r for r in RUNTIMES.values() if r.format in formats and not r.int8_only]
    install = " or: ".join(runtime.install for runtime in fit if not runtime.no_wheel)
    return BackendError(
        f"Expected a runtime for .{listed} files, got none installed; "
        f"{f'install one with: {install}' if install else fit[0].no_wheel}",
        code="backend-none",
    )
