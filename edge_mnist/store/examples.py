"""A bundle in; its examples out: images, and what every one of its files answers to them.

`examples.npz` holds `images`, `answers` and, if the model's labels have the digits among them,
`labels`. The manifest states its size and hash, and the accuracy on these images.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..bundle import Bundle
from ..bundle.verification import EXAMPLES
from ..errors import BundleError, GateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..classifier import Classifier

# Upper bound on the images; `export` writes 100 at most.
_MOST_IMAGES = 1000


class Examples(NamedTuple):
    """The examples of a bundle.

    Attributes:
        images: (n, *shape) uint8, the model's inputs.
        answers: (n,) int32, the outputs with the highest probability.
        labels: (n,) int32, the true outputs; None if the manifest states no accuracy.
        accuracy: the fraction of `labels` that is answered, in [0, 1], as the manifest states it.
    """

    images: NDArray[np.uint8]
    answers: NDArray[np.int32]
    labels: NDArray[np.int32] | None = None
    accuracy: float | None = None

    def check(self, classifier: Classifier) -> None:
        """Compare a file's answers with the expected ones.

        Raises:
            GateError: an answer is another one.
        """
        answers = classifier.predict_probabilities(self.images).argmax(axis=1)
        if wrong := int(np.count_nonzero(answers != self.answers)):
            raise GateError(
                f"Expected {classifier.artifact.name} on {classifier.backend} to answer the "
                f"{len(answers)} examples of its bundle as the manifest states, got {wrong} other "
                f"answers; export the bundle again, or leave that runtime out with --backend.",
                code="gate-examples",
            )


def read_examples(bundle: Bundle) -> Examples | None:
    """Return the examples of a bundle whose files have been verified; None if it states none.

    Raises:
        BundleError: they are not what the manifest states.
    """
    entry, spec = bundle.manifest.get(EXAMPLES), bundle.artifacts[0].spec
    if not entry or spec is None:
        return None
    try:
        content = Path(bundle.folder, entry["file"]).read_bytes()
        return _read(content, entry, spec.shape, len(spec.labels))
    except _MALFORMED as error:
        raise BundleError(
            f"Expected examples in {bundle.folder} as the manifest states, got something else "
            f"({repr(error)[:200]}); export the bundle again.",
            code="bundle-examples",
        ) from error


_MALFORMED = (
    *(KeyError, TypeError, ValueError, EOFError, RuntimeError, AttributeError),
    *(zipfile.BadZipFile, zlib.error),
)


def _read(content: bytes, entry: Mapping[str, Any], shape: Sequence[int], classes: int) -> Examples:
    count, accuracy = int(entry["images"]), entry["accuracy"]
    if not 0 < count <= _MOST_IMAGES:
        raise ValueError(f"{count} images")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:

        def read(name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
            with archive.open(f"{name}.npy") as member:
                return _array(member, np.dtype(dtype), shape)

        images = read("images", "|u1", (count, *shape))
        answers = read("answers", "<i4", (count,))
        labels = None if accuracy is None else read("labels", "<i4", (count,))
    if answers.min() < 0 or answers.max() >= classes:
        raise ValueError("answers out of range")
    if labels is not None:
        found = float(np.mean(answers == labels))
        if not math.isclose(found, accuracy):
            raise ValueError(f"an accuracy of {found:g} instead of {accuracy!r}")
    return Examples(images, answers, labels, accuracy)


def _array(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Read an array in the .npy format; it takes no more memory than the expected one."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"version {version} of the .npy format")
    found = np.lib.format.read_array_header_1_0(file)
    if found != (shape, False, dtype):
        raise ValueError(f"{found} instead of {(shape, False, dtype)}")
    size = math.prod(shape) * dtype.itemsize
    data = file.read(size)
    if len(data) != size:
        raise EOFError(f"{len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape)
