"""The interpreter interface that LiteRT and TensorFlow Lite share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from . import NotSupportedError, Tensor, _first_line

if TYPE_CHECKING:
    from numpy import generic
    from numpy.typing import NDArray

# What the runtimes say, word for word.
_UNKNOWN_OP = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")
# Of an op younger than the runtime itself, it knows the number alone.
_UNKNOWN_CODE = re.compile(r"Op builtin_code out of range: (\d+)")
_CUSTOM_OP = re.compile(r"unresolved custom op: (\w+)|Node number \d+ \((Flex\w+)\)")


class InterpreterSession:
    """A `.tflite` model with one input and one output, in an `Interpreter` class."""

    def __init__(
        self, interpreter: Callable[..., Any], content: bytes, *, name: str, threads: int
    ) -> None:
        try:
            self._interpreter = interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            _raise_if_not_supported(error)
            raise ModelError(
                f"Expected a TFLite model that this runtime can load, got {name}: "
                f"{_first_line(error)}"
            ) from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"Expected one input and one output, got {len(inputs)} and {len(outputs)} "
                f"in {name}."
            )
        self.input = _tensor(inputs[0])
        self.output = _tensor(outputs[0])
        self._input_index: int = inputs[0]["index"]
        self._output_index: int = outputs[0]["index"]

    def run(self, values: NDArray[generic]) -> NDArray[generic]:
        """Return the raw output for one image; `values` has the input's dtype and shape."""
        self._interpreter.set_tensor(self._input_index, values)
        self._interpreter.invoke()
        output: NDArray[generic] = self._interpreter.get_tensor(self._output_index)
        return output


def _raise_if_not_supported(error: Exception) -> None:
    if found := _UNKNOWN_OP.search(str(error)):
        raise NotSupportedError(f"{found[1]} version {found[2]}") from error
    if found := _UNKNOWN_CODE.search(str(error)):
        raise NotSupportedError(f"the builtin op of number {found[1]}") from error
    if found := _CUSTOM_OP.search(str(error)):
        raise NotSupportedError(f"the custom op {found[1] or found[2]}", custom=True) from error


def _tensor(details: Mapping[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return Tensor(
        str(details["name"]), shape, details["dtype"].__name__, float(scale), int(zero_point)
    )
