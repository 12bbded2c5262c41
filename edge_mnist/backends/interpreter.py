"""Sessions of LiteRT and TensorFlow Lite, which share the class `Interpreter`."""

from __future__ import annotations

import _thread  # noqa: PLC2701
import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from .session import NotSupportedError, Tensor, check_one_input, choose_output, first_line

if TYPE_CHECKING:
    from numpy import generic
    from numpy.typing import NDArray

    from .session import Run, Shape

# The runtimes' messages, verbatim.
_UNKNOWN_OP = r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'"
# For an op newer than the runtime, it knows only the number.
_UNKNOWN_CODE = r"Op builtin_code out of range: (\d+)"
_CUSTOM_OP = r"unresolved custom op: (\S+?)\.?(?:\s|$)|Node number \d+ \((Flex\w+)\)"


class InterpreterSession:
    """A `.tflite` model with one input, and one output that is used, in an `Interpreter` class."""

    def __init__(
        self,
        interpreter: Callable[..., Any],
        content: bytes,
        *,
        name: str,
        threads: int,
    ) -> None:
        self._name = name
        try:
            with _silenced_stderr():
                self._interpreter = interpreter(model_content=content, num_threads=threads)
                inputs = self._interpreter.get_input_details()
                check_one_input([details["name"] for details in inputs], name)
                self._close_sizes(inputs[0])
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            _raise_if_not_supported(error)
            raise ModelError(
                f"Expected a TFLite model that this runtime can load, got {name}: "
                f"{first_line(error)}",
                code="model-refused",
            ) from error
        inputs, outputs = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        tensors = [_tensor(details) for details in outputs]
        chosen = choose_output(tensors, name)
        self.input, self.output = _tensor(inputs[0]), tensors[chosen]
        self._input_index: int = inputs[0]["index"]
        self._output_index: int = outputs[chosen]["index"]

    def _close_sizes(self, details: Mapping[str, Any]) -> None:
        """Set the open sides of an image to 28; the interpreter would take them for 1."""
        signature = [int(size) for size in details.get("shape_signature", ())]
        if -1 in signature[1:]:
            sides = [28 if size == -1 else size for size in signature[1:]]
            self._interpreter.resize_tensor_input(details["index"], [abs(signature[0]), *sides])

    def run(self, values: NDArray[generic]) -> NDArray[generic]:
        """Run the model once; see `Session.run`."""
        return self.bind(values.shape, ())[1](values)

    def bind(self, shape: Shape, output: Shape) -> tuple[NDArray[generic], Run]:
        """Allocate an input once; see `Session.bind`."""
        # Views of the interpreter's own memory would save 0.6 µs, but it refuses to run while one
        # exists.
        index, output_index = self._input_index, self._output_index
        set_tensor, invoke = self._interpreter.set_tensor, self._interpreter.invoke
        get_tensor = self._interpreter.get_tensor

        def run(values: NDArray[generic]) -> NDArray[generic]:
            try:
                set_tensor(index, values)
                invoke()
                result: NDArray[generic] = get_tensor(output_index)
            except (ValueError, RuntimeError) as error:
                raise ModelError(
                    f"Expected {self._name} to take an image of shape {values.shape}, got: "
                    f"{first_line(error)}",
                    code="model-run",
                ) from error
            return result

        return np.zeros(shape, self.input.dtype), run

    def tensor(self, index: int) -> NDArray[generic]:
        """Return a tensor of the last run as it is in the model, by its index in the file.

        Only a session of `registry.load_inspectable` keeps the tensors between the layers.
        """
        values: NDArray[generic] = self._interpreter.get_tensor(index)
        return values


class InterpreterPart:
    """A part of a `.tflite` model, with any outputs; see `session.Part`."""

    def __init__(self, interpreter: Callable[..., Any], content: bytes) -> None:
        with _silenced_stderr():
            self._interpreter = interpreter(model_content=content, num_threads=1)

    def bind(self, values: NDArray[generic]) -> Callable[[], object]:
        """Set the input once; see `Part.bind`."""
        index = self._interpreter.get_input_details()[0]["index"]
        with _silenced_stderr():
            self._interpreter.resize_tensor_input(index, values.shape)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(index, values)
        invoke: Callable[[], object] = self._interpreter.invoke
        return invoke

    def outputs(self) -> list[Tensor]:
        """Return the outputs; see `Part.outputs`."""
        return list(map(_tensor, self._interpreter.get_output_details()))


_SILENCED = _thread.allocate_lock()


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Suppress the message on stderr that a delegate was created.

    Errors are raised as exceptions. Only file descriptor 2 itself can be silenced, by one thread at
    a time: a second would restore the null device.
    """
    with _SILENCED, contextlib.ExitStack() as undo:
        with contextlib.suppress(OSError):  # a process without stderr
            kept = os.dup(2)
            undo.callback(os.close, kept)
            undo.callback(os.dup2, kept, 2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        yield


def _raise_if_not_supported(error: Exception) -> None:
    if found := re.search(_UNKNOWN_OP, str(error)):
        raise NotSupportedError(f"{found[1]} version {found[2]}") from error
    if found := re.search(_UNKNOWN_CODE, str(error)):
        raise NotSupportedError(f"the builtin op of number {found[1]}") from error
    if found := re.search(_CUSTOM_OP, str(error)):
        raise NotSupportedError(f"the custom op {found[1] or found[2]}", custom=True) from error


def _tensor(details: Mapping[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return Tensor(
        str(details["name"]), shape, details["dtype"].__name__, float(scale), int(zero_point)
    )
