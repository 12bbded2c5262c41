"""The sandbox's child process: an artifact and its bytes in, a refusal as JSON out."""

from __future__ import annotations

import contextlib
import json
import pickle
import sys

from .. import backends
from ..backends.quantized_io import QuantizedIO
from ..backends.tensor_layout import infer_layout
from ..bundle import Artifact
from ..errors import EdgeMnistError
from .spec_inference import infer_spec, patterns

# Exit status if the runtime, or this package, refused the file with an error.
REFUSED = 3
# Memory limit in bytes: the runtime itself, and a model at the limit of the static checks.
_MAX_MEMORY = 2 << 30
# Bytes that are freed, and so poisoned, before the model is loaded: more than a small one takes.
_POISONED = 16 << 20


def main() -> None:
    """Load and run the file that the parent sends, as `classifier.loading` does."""
    _limit_memory()
    # The parent's own process wrote it.
    backend, threads, artifact, content = pickle.load(sys.stdin.buffer)
    bytearray(_POISONED)
    try:
        _run(artifact, content, backends.RUNTIMES[backend], threads)
    except EdgeMnistError as error:
        print(json.dumps([type(error).__name__, str(error), error.code]))  # noqa: T201
        sys.exit(REFUSED)


def _run(artifact: Artifact, content: bytes, runtime: backends.Runtime, threads: int) -> None:
    spec, name, format = artifact.spec, artifact.name, artifact.format
    path = artifact.file if spec is None else None
    session = backends.load(runtime, content, name=name, threads=threads, path=path)
    layout = infer_layout(session.input, session.output, format=format, name=name, spec=spec)
    io = QuantizedIO(session, layout)
    if spec is None:
        io.bind(infer_spec(io, content, format=format, name=name).output_shape)
        return
    io.use(spec)
    io.bind((max(1, layout.batch), *session.output.shape[1:]))
    images = patterns(spec)
    for image in images:
        io.one(image)
    io.many(images)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not Unix, or a lower limit
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.maxsize > 2**32:
            resource.setrlimit(resource.RLIMIT_DATA, (_MAX_MEMORY, _MAX_MEMORY))


if __name__ == "__main__":
    main()
