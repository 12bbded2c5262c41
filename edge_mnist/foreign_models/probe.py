"""The sandbox's child process: a model file on standard input, a refusal as JSON out."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from .. import backends
from ..backends.quantized_io import QuantizedIO
from ..backends.tensor_layout import infer_layout
from ..errors import EdgeMnistError
from .spec_inference import infer_spec

# Exit status if the runtime, or this package, refused the file with an error.
REFUSED = 3
# Memory limit in bytes: the runtime itself, and a model at the limit of the static checks.
_MAX_MEMORY = 2 << 30
# Bytes that are freed, and so poisoned, before the model is loaded: more than a small one takes.
_POISONED = 16 << 20


def main(backend: str, threads: str, path: str) -> None:
    """Load and run the file on standard input, as `classifier.loading` does."""
    _limit_memory()
    runtime = backends.RUNTIMES[backend]
    content, name = sys.stdin.buffer.read(), Path(path).name
    bytearray(_POISONED)
    try:
        session = backends.load(runtime, content, name=name, threads=int(threads), path=path)
        layout = infer_layout(session.input, session.output, format=runtime.format, name=name)
        io = QuantizedIO(session, layout)
        inferred = infer_spec(io, content, format=runtime.format, name=name)
        io.bind(inferred.output_shape)
    except EdgeMnistError as error:
        print(json.dumps([type(error).__name__, str(error), error.code]))  # noqa: T201
        sys.exit(REFUSED)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not Unix, or a lower limit
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.maxsize > 2**32:
            resource.setrlimit(resource.RLIMIT_DATA, (_MAX_MEMORY, _MAX_MEMORY))


if __name__ == "__main__":
    main(*sys.argv[1:])
