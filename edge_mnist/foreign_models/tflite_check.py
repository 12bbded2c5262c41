"""Check a `.tflite` file that nobody vouches for, before a runtime loads it.

LiteRT checks that a flatbuffer is well-formed; tflite-runtime does not. Neither checks that an
operator does not write over another's weights.
"""

from __future__ import annotations

from ..model_files.malformed import Malformed
from ..model_files.tflite_file import Graph, read
from .tflite_operators import check_transposed_convolution, is_known_safe


def check(content: bytes) -> bool:
    """Return whether a file is known to be safe: common operators in common use.

    Raises:
        Malformed: a runtime may read or write outside of its memory, or the weights are in other
            files.
        TooLarge: its tensors take more memory than a small device has.
    """
    model = read(content)
    for graph in model.graphs:
        _check_writes(graph)
        for operator in graph.operators:
            check_transposed_convolution(operator)
    operators = [operator for graph in model.graphs for operator in graph.operators]
    return len(model.graphs) == 1 and model.usual and all(map(is_known_safe, operators))


def _check_writes(graph: Graph) -> None:
    """Refuse a value that is read before it is written, and one that is written twice.

    A constant that an operator or the caller writes over may be a size that the runtime has
    checked before: the harm then depends on the image, and a trial with other images misses it.
    """
    known = {tensor.index for tensor in graph.tensors if tensor.constant or tensor.variable}
    for tensor in graph.inputs:
        if tensor.constant:
            raise Malformed(f"an input, tensor {tensor.index}, that is a constant")
        known.add(tensor.index)
    for number, operator in enumerate(graph.operators):
        for value in operator.inputs:
            if value and value.index not in known and value.elements:
                raise Malformed(f"operator {number} before its input, tensor {value.index}")
        for tensor in operator.outputs:
            if tensor.index in known:
                raise Malformed(f"operator {number} writing over tensor {tensor.index}")
            known.add(tensor.index)
    for tensor in graph.outputs:
        if tensor.index not in known:
            raise Malformed(f"an output, tensor {tensor.index}, that no operator writes")
