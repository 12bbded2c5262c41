"""An artifact and a runtime in, a loaded model out: checked, described, safe to pickle and fork."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from .. import backends
from ..backends.quantized_io import QuantizedIO
from ..backends.tensor_layout import infer_layout
from ..errors import BackendError, ModelError
from . import forking

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..bundle import Artifact
    from ..bundle.model_spec import ModelSpec, Scaling

# Upper bound on threads: no device has more processors. ONNX Runtime hangs at some ten thousand.
_MAX_THREADS = 256


class LoadedModel:
    """A model file in a runtime, with its model spec.

    It can be pickled and used in a forked process: the path of the file crosses, not the session.

    Attributes:
        artifact: the model file.
        backend: the runtime's name, "litert", "tflite", "onnx" or "numpy".
        session: the runtime's session.
        spec: what the model takes and answers.
        scaling_from: where the scaling of pixels comes from: "manifest", "given" by the caller,
            "file", or "assumed".
    """

    artifact: Artifact
    backend: str
    session: backends.Session
    spec: ModelSpec
    scaling_from: str

    @classmethod
    def from_artifact(
        cls,
        artifact: Artifact,
        runtime: backends.Runtime,
        *,
        threads: int = 1,
        sandbox: bool = True,
    ) -> Self:
        """Load one file in one runtime.

        Args:
            artifact: the file.
            runtime: the runtime.
            threads: threads that the runtime may use.
            sandbox: try a file that nobody vouches for in a child process first, unless it is
                known to be safe.

        Raises:
            BundleError, ModelError: the file is missing, broken or not an image classifier.
            BackendError: the runtime cannot be imported.
        """
        model = cls.__new__(cls)
        model._load(artifact, runtime, threads=threads, sandbox=sandbox)
        return model

    def _load(
        self, artifact: Artifact, runtime: backends.Runtime, *, threads: int, sandbox: bool = True
    ) -> None:
        if not isinstance(threads, int) or not 1 <= threads <= _MAX_THREADS:
            raise BackendError(
                f"Expected 1 to {_MAX_THREADS} threads, got {threads!r}.", code="backend-threads"
            )
        self.artifact, self.backend, self._threads = artifact, runtime.backend, threads
        content = artifact.read()
        if not artifact.vouched:
            # Imported late: the files of the package's own bundles need no checks.
            from ..foreign_models.check import check

            check(artifact, content, runtime=runtime, threads=threads, in_child=sandbox)
        spec, name = artifact.spec, artifact.name
        # The hash of a manifest says nothing of weights in other files.
        path = artifact.file if spec is None else None
        self.session = backends.load(runtime, content, name=name, threads=threads, path=path)
        layout = infer_layout(
            self.session.input, self.session.output, format=artifact.format, name=name, spec=spec
        )
        self._io = QuantizedIO(self.session, layout)
        self._describe(spec, content)
        forking.repair_in_child(self)

    def _describe(self, spec: ModelSpec | None, content: bytes) -> None:
        """Set the spec, from the manifest or by inference, and bind the tensors."""
        artifact, output = self.artifact, self.session.output
        if spec is None:
            from ..foreign_models.spec_inference import infer_spec

            spec, self.scaling_from, self._output_shape = infer_spec(
                self._io,
                content,
                format=artifact.format,
                name=artifact.name,
                scaling=artifact.scaling,
            )
        else:
            _check_labels(output, spec, artifact.name)
            self.scaling_from = "manifest"
            self._output_shape = (max(1, self._io.layout.batch), *output.shape[1:])
        self._use(spec)

    def _use(self, spec: ModelSpec) -> None:
        self.spec, self._shape = spec, spec.shape
        self._io.use(spec)
        self._io.bind(self._output_shape)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return self.spec.labels

    @property
    def contract(self) -> ModelSpec:
        """The name of `spec` until 0.1."""
        return self.spec

    def rescale(self, scaling: Scaling) -> None:
        """Scale pixels in another way from now on: for a foreign file, which states nothing."""
        self._use(self.spec._replace(scaling=scaling))

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Return images (n, …) uint8 of the model's size as its input tensor takes them."""
        return self._io.encode(images)

    def __reduce__(self) -> tuple[Any, ...]:
        artifact = self.artifact._replace(file=os.path.abspath(self.artifact.file))
        state = (artifact, self.backend, self._threads, self.spec, self.scaling_from)
        return _reload, (type(self), *state)

    def repair_in_child(self) -> None:
        """Make the model usable in a forked process, into which no thread has come along."""
        if self._threads == 1:
            self._io.renew_lock()
        else:
            forking.abandon(self.session)
            function, arguments = self.__reduce__()
            self.__dict__.update(function(*arguments).__dict__)


def _reload(
    cls: type[LoadedModel],
    artifact: Artifact,
    backend: str,
    threads: int,
    spec: ModelSpec,
    scaling_from: str,
) -> LoadedModel:
    """Load a model again in another process, with the scaling it had."""
    model = cls.from_artifact(artifact, backends.get(backend), threads=threads)
    if model.spec != spec:
        model.rescale(spec.scaling)
    model.scaling_from = scaling_from
    return model


def _check_labels(tensor: backends.Tensor, spec: ModelSpec, name: str) -> None:
    """Refuse an output that has another number of values than the manifest has labels."""
    sizes = [size for size in tensor.shape[1:] if size != 1]
    if sizes != [len(spec.labels)]:
        raise ModelError(
            f"Expected an output of {len(spec.labels)} {spec.output}, got shape "
            f"{tensor.shape} in {name}.",
            code="model-labels",
        )
