"""numpy itself as a runtime of full int8 `.tflite` files, for machines without another.

Its outputs are those of the written arithmetic, docs/explanation/arithmetic.md, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..int8 import Graph, Unsupported, Value, read_graph
from ..int8.program import Program
from ..model_files.malformed import Malformed
from .session import NotSupportedError, Tensor

if TYPE_CHECKING:
    from numpy import generic
    from numpy.typing import NDArray

    from ..bundle import File
    from .session import Run, Shape

# Programs that are kept: for one image, for a whole batch, and for the rest of a data set.
_MOST_PROGRAMS = 3


class NumpySession:
    """A full int8 `.tflite` model; any number of images a call."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._programs: dict[int, Program] = {}
        self.input, self.output = _ends(graph)

    def run(self, values: NDArray[generic]) -> NDArray[generic]:
        """Run the model once; see `Session.run`."""
        count = len(values)
        if count not in self._programs and len(self._programs) == _MOST_PROGRAMS:
            del self._programs[next(iter(self._programs))]
        if count not in self._programs:
            self._programs[count] = Program(self._graph, count)
        return _run(self._programs[count], values).copy()

    def bind(self, shape: Shape, output: Shape) -> tuple[NDArray[generic], Run]:
        """Allocate an input once; see `Session.bind`."""
        program = Program(self._graph, shape[0])
        bound = program.input.reshape(shape)

        def run(values: NDArray[generic]) -> NDArray[generic]:
            if values is not bound:
                bound[...] = values
            program.run()
            return program.output

        return bound, run


class NumpyPart:
    """A part of a model; see `session.Part`."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def bind(self, values: NDArray[generic]) -> Callable[[], object]:
        """Set the input once; see `Part.bind`."""
        program = Program(self._graph, len(values))
        program.input[...] = values.reshape(program.input.shape)
        return program.run

    def outputs(self) -> list[Tensor]:
        """Return the output; see `Part.outputs`."""
        return [_ends(self._graph)[1]]


def load(content: bytes, *, name: str, threads: int, path: File | None = None) -> NumpySession:
    """Load a model from its bytes.

    `path` is unused: a `.tflite` file holds all its weights. `threads` too: the matrix products
    take the threads of numpy's BLAS, which OPENBLAS_NUM_THREADS sets.
    """
    try:
        return NumpySession(read_graph(content))
    except Unsupported as error:
        raise NotSupportedError(str(error)) from error
    except Malformed as error:
        raise ModelError(
            f"Expected a TFLite model that this runtime can load, got {name} with {error}; "
            f"{error.remedy}",
            code="model-refused",
        ) from error


def load_part(content: bytes) -> NumpyPart:
    """Load a part of a model; see `registry.load_part`."""
    return NumpyPart(read_graph(content))


def _run(program: Program, values: NDArray[generic]) -> NDArray[generic]:
    program.input[...] = values.reshape(program.input.shape)
    program.run()
    output: NDArray[generic] = program.output
    return output


def _ends(graph: Graph) -> tuple[Tensor, Tensor]:
    """Return the input and the output, with an open batch."""
    source, result = graph.values[graph.input], graph.values[graph.output]
    return (
        _tensor("image", (-1, *graph.input_shape), source),
        _tensor("probabilities", (-1, result.size), result),
    )


def _tensor(name: str, shape: tuple[int, ...], value: Value) -> Tensor:
    dtype = "int8" if value.signed else "uint8"
    return Tensor(name, shape, dtype, value.scale, value.zero_point)
