"""The int8 files of a bundle in; the hash of the bytes that they must answer, out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_mnist.backends import RUNTIMES
from edge_mnist.bundle.manifest import sha256
from edge_mnist.datasets import Split
from edge_mnist.errors import ModelError
from edge_mnist.evaluation import evaluate
from edge_mnist.evaluation.output_bytes import output_bytes

from .gate import VerifiedFile

_NUMPY = RUNTIMES["numpy"]


def record(
    files: Sequence[VerifiedFile], test: Split, *, report: Callable[[str], None]
) -> dict[str, str]:
    """Return the manifest's field: the SHA-256 of the outputs on the test set, as numpy has them.

    The outputs are the bytes (n, classes) uint8 in the order of the images. There is no hash
    without an int8 `.tflite` file, or if it has an operator that the written arithmetic lacks.
    """
    int8 = [f.artifact for f in files if _NUMPY.runs(f.artifact.format, f.artifact.precision)]
    if not int8:
        return {}
    try:
        result = evaluate(int8[0], _NUMPY, test)
    except ModelError as error:
        report(f"No hash of the int8 outputs: {error}")
        return {}
    return {"int8_outputs_sha256": sha256(output_bytes(result).tobytes())}
