"""A shard in, its digits in a Parquet file and a summary out."""

from __future__ import annotations

import pickle
import platform
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from .. import backends
from ..bundle import find_artifacts, sha256
from ..bundle.manifest import is_shipped
from ..bundle.provenance import provenance
from ..classifier import Classifier
from ..classifier.prediction import too_unsure
from ..errors import ClusterError, DataError, EdgeMnistError, ModelError
from ..system.files import write_atomically
from .reading import Batch, Reader, Shard, pyarrow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..bundle import Artifact, Trust
    from ..bundle.model_spec import Scaling


class Model(NamedTuple):
    """A model that every worker loads by itself.

    Attributes:
        model: a path, or the name of a shipped bundle.
        file: the name of its file.
        backend: the runtime.
        sha256: of the manifest; of the file if it has none.
        scaling: of the pixels, for a foreign file.
        trust: as for `Classifier`.
    """

    model: str
    file: str
    backend: str
    sha256: str
    scaling: Scaling | None = None
    trust: Trust = None

    @classmethod
    def of(
        cls, classifier: Classifier, *, scaling: Scaling | None = None, trust: Trust = None
    ) -> Self:
        """Return the model of a classifier; `scaling` and `trust` as it was made with."""
        artifact = classifier.artifact
        place = artifact.path if artifact.sha256 is None else artifact.path.parent
        # The package lies in different places on different machines.
        model = place.name if is_shipped(place) else str(place.absolute())
        if isinstance(trust, tuple):
            trust = tuple(str(Path(k).absolute()) if Path(k).exists() else k for k in trust)
        digest = fingerprint(artifact)
        return cls(model, artifact.name, classifier.backend, digest, scaling, trust)

    def load(self) -> Classifier:
        """Load it.

        Raises:
            ClusterError: this machine has another model under that name.
            EdgeMnistError: as `Classifier`.
        """
        artifacts = find_artifacts(self.model, scaling=self.scaling, trust=self.trust)
        found = fingerprint(artifacts[0])
        if found != self.sha256:
            raise ClusterError(
                f"Expected the model {self.sha256[:12]} on every machine, got {found[:12]} on "
                f"{platform.node()}: {artifacts[0].path.parent}; copy the same bundle to all.",
                code="cluster-model",
            )
        artifact = next(one for one in artifacts if one.name == self.file)
        return Classifier.from_artifact(artifact, backends.get(self.backend))


def fingerprint(artifact: Artifact) -> str:
    """Return the SHA-256 of a file's manifest; of the file if it has none."""
    return provenance(artifact).manifest_sha256 or sha256(artifact.read())


class Summary(NamedTuple):
    """What became of a shard.

    Attributes:
        result: the name of its result.
        images: how many were read.
        rejected: of these, how many hold no digit, or one of which the model is unsure.
        errors: how many could not be scored, by the code of the error.
        seconds: that it took.
        processor_seconds: that its process used meanwhile.
        failure: code and message if there is no result.
        final: whether the same would become of every other shard.
    """

    result: str
    images: int = 0
    rejected: int = 0
    errors: Mapping[str, int] = {}
    seconds: float = 0.0
    processor_seconds: float = 0.0
    failure: tuple[str, str] | None = None
    final: bool = False


class Scorer:
    """Scores shards with one classifier. The model is loaded for the first of them.

    Args:
        model: the model.
        output: the folder of the results.
    """

    def __init__(self, model: Model, output: str) -> None:
        self.arguments = model, output
        self._model, self._output = model, Path(output)
        self._classifier: Classifier | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Score shards, as Ray Data hands them over: pickled, and so are the summaries."""
        done = [self.score(pickle.loads(shard)) for shard in batch["shard"]]
        return {"summary": [pickle.dumps(summary) for summary in done]}

    def score(self, shard: Shard) -> Summary:
        """Score a shard and write its result, whole or not at all."""
        try:
            if self._classifier is None:
                self._classifier = self._model.load()
                self._reader = Reader(self._classifier.spec.shape)
        except EdgeMnistError as error:
            return Summary(shard.result, failure=(error.code, str(error)), final=True)
        rows = _Rows(self._classifier)
        start, processor_start = time.perf_counter(), time.process_time()
        try:
            for batch in self._reader.read(shard):
                rows.add(batch)
            rows.write(self._output / shard.result, shard.names[0])
        except EdgeMnistError as error:
            return Summary(shard.result, failure=(error.code, str(error)))
        errors = Counter(code for code in rows.errors if code)
        rejected = rows.digits.count(None) - errors.total()
        return Summary(
            shard.result,
            len(rows.digits),
            rejected,
            dict(errors),
            time.perf_counter() - start,
            time.process_time() - processor_start,
        )


class _Rows:
    """The columns of a result, as docs/reference/data.md describes them."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.paths: list[str] = []
        self.rows: list[int | None] = []
        self.digits: list[int | None] = []
        self.confidences: list[float | None] = []
        self.errors: list[str | None] = []
        self.reasons: list[str | None] = []

    def add(self, batch: Batch) -> None:
        """Score a batch."""
        count, row = len(batch.images), batch.row
        if isinstance(batch.paths, str):
            self.paths += [_text(batch.paths)] * count
        else:
            self.paths += map(_text, batch.paths)
        self.rows += [None] * count if row is None else range(row, row + count)
        if isinstance(batch.images, np.ndarray):
            try:
                self._add_arrays(self._classifier.predict_probabilities(batch.images))
                return
            except ModelError:  # An answer that is not finite: one by one shows whose.
                pass
        for image in batch.images:
            self._add(image)

    def _add_arrays(self, probabilities: NDArray[np.float32]) -> None:
        threshold = self._classifier.spec.threshold
        confidences = probabilities.max(axis=1).tolist()
        unsure = [confidence < threshold for confidence in confidences]
        digits = probabilities.argmax(axis=1).tolist()
        self.digits += [None if u else digit for u, digit in zip(unsure, digits, strict=True)]
        self.confidences += confidences
        self.errors += [None] * len(digits)
        self.reasons += [
            too_unsure(confidence, threshold) if u else None
            for u, confidence in zip(unsure, confidences, strict=True)
        ]

    def _add(self, image: NDArray[np.uint8] | str | bytes | EdgeMnistError) -> None:
        digit, confidence, code, reason = None, None, None, None
        try:
            if isinstance(image, EdgeMnistError):
                raise image
            digit, confidence, _, _, reason = self._classifier.predict(image)
        except EdgeMnistError as error:
            code, reason = error.code, str(error)
        self.digits.append(digit)
        self.confidences.append(confidence)
        self.errors.append(code)
        self.reasons.append(reason and _text(reason))

    def write(self, path: Path, source: str) -> None:
        """Write them to a file.

        Raises:
            DataError: there are none.
            OutputError: the file cannot be written.
        """
        if not self.paths:
            raise DataError(
                f"Expected pictures in {source}, got none; leave it out.", code="score-empty"
            )
        arrow = pyarrow()
        columns = {
            "path": arrow.array(self.paths, arrow.string()),
            "row": arrow.array(self.rows, arrow.int64()),
            "digit": arrow.array(self.digits, arrow.int16()),
            "confidence": arrow.array(self.confidences, arrow.float32()),
            "error": arrow.array(self.errors, arrow.string()),
            "reason": arrow.array(self.reasons, arrow.string()),
        }
        sink = arrow.BufferOutputStream()
        arrow.parquet.write_table(arrow.table(columns), sink)
        write_atomically(path, sink.getvalue().to_pybytes())


def _text(text: str) -> str:
    """Return text as Parquet takes it: a file's name may hold bytes that are no UTF-8."""
    return text.encode(errors="backslashreplace").decode()
